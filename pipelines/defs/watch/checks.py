"""Asset checks for what no dbt test sees: the clock, the calendar, and the health of the match keys.

    rpt_source_health   watermark_is_recent_<source>_<flow>  how long ago the source was last known complete
    rpt_metrics_daily   no_missing_business_day_<source>     a day between the first and yesterday without one payment
    fct_transactions    words_are_known                      status words that were read, clients: in no reviewed seed
    fct_reconciliation  keys_are_present                     recent records without a match key
                        keys_are_unique                      recent records whose key others of that side have, too
                        keys_do_not_collide                  recent rows whose key belongs to another payment
                        ... each by source, project and flow: one client's broken key must not drown in the others' rows
    rpt_day_closes      no_final_close_is_overdue            a day closed provisionally that nobody has signed in time

Freshness policies watch that assets are renewed; these watch that what they hold is complete. They block nothing.
"""

from datetime import datetime, time, timedelta
from typing import Any

import dagster as dg
import psycopg

from pipelines.closing.calendar import closes_at
from pipelines.core.settings import Settings
from pipelines.defs.watch.looking import Look, Looks, Question, asked, checks_of, warning

WATERMARK_WARN = timedelta(minutes=30)
WATERMARK_ERROR = timedelta(hours=3)
KEY_DAYS = 7
KEY_SHARE = 0.01
REPEATED_SHARE = 0.25
"""Several attempts at one order are usual; beyond this, something else than the order's id must be in the field."""
MIN_GROUP = 50
"""Fewer records of a project and flow say nothing about a share."""
NAMED_DAYS = 20
NAMED_GROUPS = 50

SOURCES = ("vima", "payshack")
FLOWS = ("payin", "payout")

CLOSE_WARN = timedelta(hours=6)
CLOSE_ERROR = timedelta(days=1)
"""A final close is somebody's morning work: a day late, the work of the next day waits for it."""


def _watermark(source: str, flow: str) -> Question:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        row = connection.execute(
            "select watermark from raw.source_watermarks where source = %s and flow = %s", (source, flow)
        ).fetchone()
        if row is None:
            return warning(f"{source} {flow} has not been read to its end yet.")
        age = settings.clock() - row[0]
        metadata = {"watermark": dg.TimestampMetadataValue(row[0].timestamp()), "age_seconds": age.total_seconds()}
        if age <= WATERMARK_WARN:
            return {"passed": True, "metadata": metadata}
        minutes = int(age.total_seconds() // 60)
        severity = dg.AssetCheckSeverity.ERROR if age > WATERMARK_ERROR else dg.AssetCheckSeverity.WARN
        told = f"{source} {flow} was last known complete {minutes} minutes ago; see its feed runs and its sensor."
        return {"passed": False, "severity": severity, "description": told, "metadata": metadata}

    return look


def _days(source: str) -> Question:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        today = settings.clock().astimezone(settings.business_zone).date()
        rows = connection.execute(
            """
            select day::date
            from generate_series(
                (select min(business_date) from marts.rpt_metrics_daily where source = %(source)s),
                %(today)s::date - 1,
                interval '1 day'
            ) as day
            where not exists (
                select from marts.rpt_metrics_daily as metrics
                where metrics.source = %(source)s and metrics.business_date = day::date
            )
            order by day
            """,
            {"source": source, "today": today},
        ).fetchall()
        missing = [row[0].isoformat() for row in rows]
        metadata = {"missing_days": len(missing), "first_of_them": missing[:NAMED_DAYS]}
        if not missing:
            return {"passed": True, "metadata": metadata}
        told = f"{source} has no payment at all on {len(missing)} business dates; read these days again (window)."
        return {**warning(told), "metadata": metadata}

    return look


RECORDS_WITH_KEYS = """
select source, project, flow, count(*), {affected}
from marts.fct_transactions
where business_date >= %(since)s
group by source, project, flow
"""
WITHOUT_KEY = "count(*) - count(order_key)"
REPEATED = "count(order_key) - count(distinct order_key)"
COLLIDING = """
select 'both', project, flow, count(*), count(*) filter (where 'key_collision' = any(reasons))
from marts.fct_reconciliation
where business_date >= %(since)s
group by project, flow
"""


KEYS = {
    "keys_are_present": (
        RECORDS_WITH_KEYS.format(affected=WITHOUT_KEY),
        KEY_SHARE,
        "are without a match key",
        "have no match key",
    ),
    "keys_are_unique": (
        RECORDS_WITH_KEYS.format(affected=REPEATED),
        REPEATED_SHARE,
        "repeat a key of their own side",
        "repeat a match key",
    ),
    "keys_do_not_collide": (
        COLLIDING,
        KEY_SHARE,
        "share a key with another payment",
        "share their key with another payment",
    ),
}


def _keys(query: str, share: float, told: str) -> Question:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        since = settings.clock().astimezone(settings.business_zone).date() - timedelta(days=KEY_DAYS)
        rows = connection.execute(query.encode(), {"since": since}).fetchall()
        groups = {
            f"{source} {project} {flow}": {"records": total, "affected": affected}
            for source, project, flow, total, affected in sorted(rows, key=lambda row: -row[4])
        }
        bad = [
            name
            for name, group in groups.items()
            if group["records"] >= MIN_GROUP and group["affected"] > group["records"] * share
        ]
        metadata = {
            "since": since.isoformat(),
            "records": sum(group["records"] for group in groups.values()),
            "affected": sum(group["affected"] for group in groups.values()),
            "groups_over_the_limit": bad,
            "by_group": dict(list(groups.items())[:NAMED_GROUPS]),
        }
        if not bad:
            return {"passed": True, "metadata": metadata}
        worst = bad[0]
        counted = f"{groups[worst]['affected']} of {groups[worst]['records']} records of {worst}"
        more = f", and {len(bad) - 1} more groups are over {share:.0%}" if len(bad) > 1 else ""
        return {**warning(f"{counted} since {since} {told}{more}; ask the source why."), "metadata": metadata}

    return look


UNKNOWN = """
select source, 'status' as what, coalesce(status_raw, 'none') as word, count(distinct transaction_id) as records
from marts.fct_transaction_versions
where status = 'unmapped' and observed_at >= %(since_at)s
group by source, word
union all
select source, 'client', project, count(*)
from marts.fct_transactions
where is_client_unmapped and business_date >= %(since)s
group by source, project
order by records desc, source, what, word
"""
"""Words by version: one that comes after a success never becomes the current state (R12.10), and means something."""


def _words(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
    """What U and an unknown client ask for (R2, R12.11): the owners of the data have to say what it means."""
    since = settings.clock().astimezone(settings.business_zone).date() - timedelta(days=KEY_DAYS)
    since_at = datetime.combine(since, time.min, settings.business_zone)
    rows = connection.execute(UNKNOWN.encode(), {"since": since, "since_at": since_at}).fetchall()
    unknown = {f"{source} {what} {word}": records for source, what, word, records in rows}
    metadata = {"since": since.isoformat(), "unknown": dict(list(unknown.items())[:NAMED_GROUPS])}
    if not unknown:
        return {"passed": True, "metadata": metadata}
    worst = next(iter(unknown))
    told = (
        f"{len(unknown)} status words or clients since {since} are in no reviewed seed, first of all {worst}"
        f" ({unknown[worst]} records); ask the source what it means, then add it to status_classes or client_projects."
    )
    return {**warning(told), "metadata": metadata}


def _final_closes(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
    """Days that were closed provisionally only: the platform does that by itself, the signature it waits for."""
    rows = connection.execute(
        "select business_date from closing.day_closes"
        " group by business_date having bool_and(kind <> 'final') order by business_date"
    ).fetchall()
    due = {day: closes_at(day, "final", settings.business_zone) for (day,) in rows}
    late = {day: settings.clock() - at for day, at in due.items() if settings.clock() - at > CLOSE_WARN}
    metadata = {"days_overdue": len(late), "first_of_them": [day.isoformat() for day in late][:NAMED_DAYS]}
    if not late:
        return {"passed": True, "metadata": metadata}
    oldest = min(late)
    more = f", nor are {len(late) - 1} later days" if len(late) > 1 else ""
    told = (
        f"{oldest} may be closed as final since {due[oldest]:%Y-%m-%d %H:%M %Z} and is not{more};"
        f" sign it with `psp close --date {oldest} --final`."
    )
    severity = dg.AssetCheckSeverity.ERROR if late[oldest] > CLOSE_ERROR else dg.AssetCheckSeverity.WARN
    return {"passed": False, "severity": severity, "description": told, "metadata": metadata}


def _looks() -> Looks:
    health, metrics, transactions, reconciliation, closes = (
        dg.AssetKey(["marts", name])
        for name in (
            "rpt_source_health",
            "rpt_metrics_daily",
            "fct_transactions",
            "fct_reconciliation",
            "rpt_day_closes",
        )
    )
    looks: dict[dg.AssetCheckKey, tuple[str, Look]] = {
        dg.AssetCheckKey(health, f"watermark_is_recent_{source}_{flow}"): (
            f"{source} {flow} was known complete less than {WATERMARK_WARN.seconds // 60} minutes ago.",
            asked(_watermark(source, flow)),
        )
        for source in SOURCES
        for flow in FLOWS
    }
    for source in SOURCES:
        looks[dg.AssetCheckKey(metrics, f"no_missing_business_day_{source}")] = (
            f"{source} has a payment on every business date between its first and yesterday.",
            asked(_days(source)),
        )
    for name, (query, share, what, told) in KEYS.items():
        looks[dg.AssetCheckKey(reconciliation, name)] = (
            f"In no project and flow more than {share:.0%} of the last {KEY_DAYS} days' records {what}.",
            asked(_keys(query, share, told)),
        )
    looks[dg.AssetCheckKey(transactions, "words_are_known")] = (
        f"Every status word and every client of the last {KEY_DAYS} days is in a reviewed seed.",
        asked(_words),
    )
    looks[dg.AssetCheckKey(closes, "no_final_close_is_overdue")] = (
        f"Every day with a provisional close is signed within {CLOSE_WARN.seconds // 3600} hours of when it may be.",
        asked(_final_closes),
    )
    return looks


LOOKS = _looks()

watch_completeness = checks_of("watch_completeness", LOOKS)
