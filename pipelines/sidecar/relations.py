"""Where metrics are read: the additive facts below the rpt_metrics marts, which add percentiles and trust to each row.

A question adds rows up, so it has no use for what is beside them, and the facts are found by their indexes.
"""

from psycopg import sql

DAILY = sql.SQL("(select *, day as business_date from marts.fct_metrics_daily where clock = 'business') as daily")
"""Business dates."""

HOURLY = sql.SQL("(select *, hour_at as bucket_at from marts.fct_metrics_hourly where clock = 'utc') as hourly")
"""UTC hours, told by business date as well."""

BUSINESS_HOURS = sql.SQL(
    "(select *, hour_at as bucket_at from marts.fct_metrics_hourly where clock = 'business') as hourly"
)
"""Hours of the business zone, which need not be whole hours from UTC."""

FINE = sql.SQL("marts.fct_metrics_5m")
"""Five minutes."""
