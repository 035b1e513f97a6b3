"""The only place that writes the raw log: dlt pipelines, the append-only sink, cursors and watermarks."""
