"""Dashboards as code: Metabase's representation files, read, checked, drawn without Metabase, and applied to one.

    dashboards/collections/**.yaml ──files──▶ Content ─┬─ check      structure, then every query over real marts
    dashboards/deploy.yaml ─────────deploy──▶ Deploy ──┤─ preview    HTML and PNG with real results, no Metabase
                                                       ├─ provision  plan and apply over Metabase's REST API
                                                       └─ lineage    dbt exposures, Dagster assets

The files are the only truth; nothing here invents a card. Stands on core alone.
"""
