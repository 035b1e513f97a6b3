"""Dagster, in flow order: ingest -> model -> publish, and watch beside them. Only here is Dagster imported."""
