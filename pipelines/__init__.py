"""The platform's Python: sources, loading, orchestration, sandbox and sidecar."""
