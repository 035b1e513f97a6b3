"""One package per provider; pure Python and dlt, never Dagster or dbt."""
