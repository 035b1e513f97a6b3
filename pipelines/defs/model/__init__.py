"""The dbt project as assets: parsed once, run inside the process, its tests as asset checks."""
