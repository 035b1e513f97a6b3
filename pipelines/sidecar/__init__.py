"""The sidecar: read API, exports and live pings over the marts. Thin on purpose.

    HTTP  -> auth -> one parametrized query over a mart -> {"data", "meta"}        routes/, queries in them
    HTTP  -> auth -> COPY of a mart in one snapshot     -> CSV or XLSX             export.py, also used by the CLI
    NOTIFY psp_freshness, psp_activity -> one LISTEN    -> every subscribed client live.py

No business rule lives here: what a number means is decided in dbt_project. Endpoints, messages, limits and how to make
a key are in docs/sidecar.md. `python -m pipelines.sidecar` serves it alone.
"""
