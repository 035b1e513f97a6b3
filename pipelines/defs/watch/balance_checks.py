"""Asset checks of money at PayShack: do its balances follow from what moved, and do its figures have the signs we read?

    rpt_balance_identity_daily  balances_follow_from_movements  clients and days with a residual (R9)
                                balances_are_read               clients whose money moves and whose balance nobody reads
    raw.payshack_payins         signs_are_as_read               amounts and commission below zero
    raw.payshack_payouts        signs_are_as_read               the same, and what netAmount says of the charges

A residual is judged once a feed that began after the closing reading has read everything: until then the balance may
hold what no listing has shown yet. A watermark does not tell: a quiet tick moves it, and sees no change of an older
record. All are warnings: they ask a person to find out, and block nothing.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg

from pipelines.core.settings import Settings
from pipelines.defs.watch.looking import Looks, Question, asked, checks_of, warning

DAYS = 7
NAMED = 20
BALANCE_AGE = timedelta(days=1)

PERIODS = """
select merchant, business_date, residual, closing_at <= complete_until as is_judged
from marts.rpt_balance_identity_daily
cross join (
    select coalesce(max(started_at), '-infinity') as complete_until
    from raw.load_runs
    where source = 'payshack' and mode = 'feed' and status = 'succeeded'
) as listings
order by business_date desc, abs(residual) desc, merchant
"""

UNREAD = """
select moved.merchant, max(snapshots.snapshot_at)
from (
    select distinct merchant
    from marts.fct_movements
    where source = 'payshack' and merchant is not null and business_date >= %(since)s
) as moved
left join intermediate.int_balances__snapshots as snapshots on moved.merchant = snapshots.merchant
group by moved.merchant
having coalesce(max(snapshots.snapshot_at), '-infinity') < %(read_since)s
order by moved.merchant
"""


def _number(field: str) -> str:
    told = f"payload ->> '{field}'"
    return f"case when {told} ~ '^\\s*[-+]?\\d+(\\.\\d+)?([eE][-+]?\\d{{1,2}})?\\s*$' then ({told})::numeric end"


STATUS = "lower(btrim(coalesce(nullif(btrim(payload ->> 'status'), ''), payload ->> 'txnStatus')))"
PAYIN_SIGNS = f"""
select case when least(amount, paid, fee) < 0 then 'below zero' else 'as read' end, count(distinct record_id)
from (
    select record_id, {_number("amount")} as amount, {_number("paidAmount")} as paid,
        {_number("totalCommissionAmount")} as fee
    from raw.payshack_payins
    where source_created_at >= %(since)s and {STATUS} = any(%(moving)s)
) as told
group by 1
"""  # noqa: S608 - names of our own

PAYOUT_SIGNS = f"""
select
    case
        when least(amount, charges) < 0 then 'below zero'
        when net is null or amount is null then 'no netAmount'
        else case when net < 0 then '-' else '+' end || case
            when charges = 0 and abs(net) = amount then 'amount'
            when abs(net) = amount + charges then '(amount + charges)'
            when abs(net) = amount - charges then '(amount - charges)'
            else 'another sum'
        end
    end,
    count(distinct record_id)
from (
    select record_id, {_number("amount")} as amount, coalesce({_number("txnCharges")}, 0) as charges,
        {_number("netAmount")} as net
    from raw.payshack_payouts
    where source_created_at >= %(since)s and {STATUS} = any(%(moving)s)
) as told
group by 1
"""  # noqa: S608 - names of our own


def _residuals(connection: psycopg.Connection, _: Settings) -> dict[str, Any]:
    periods = connection.execute(PERIODS.encode()).fetchall()
    judged = [(merchant, day, residual) for merchant, day, residual, is_judged in periods if is_judged]
    wrong = [period for period in judged if period[2] != 0]
    left: Counter[str] = Counter()
    for merchant, _day, residual in wrong:
        left[merchant] += residual
    metadata: dict[str, Any] = {
        "periods_judged": len(judged),
        "periods_not_yet_complete": len(periods) - len(judged),
        "periods_with_residual": len(wrong),
        "newest_of_them": {f"{day} {merchant}": f"{residual:+f} INR" for merchant, day, residual in wrong[:NAMED]},
        "residuals_together": {client: f"{sum_:+f} INR" for client, sum_ in sorted(left.items())[:NAMED]},
    }
    if not wrong:
        return {"passed": True, "metadata": metadata}
    merchant, day, residual = wrong[0]
    more = f", and {len(wrong) - 1} more periods leave a residual" if len(wrong) > 1 else ""
    than = "more" if residual > 0 else "less"
    told = (
        f"On {day} the balance of {merchant} holds {abs(residual):f} INR {than} than what moved explains{more}. "
        "Residuals of a client that cancel out are money that the balance took on another day than the listing says; "
        "else a payment, fee, settlement or statement is missing: find it, or write what finance has reviewed into "
        "balance_adjustments."
    )
    return {**warning(told), "metadata": metadata}


def _unread(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
    now = settings.clock()
    since = now.astimezone(settings.business_zone).date() - timedelta(days=DAYS)
    terms = {"since": since, "read_since": now - BALANCE_AGE}
    unread = {
        merchant: last.isoformat() if last else "never"
        for merchant, last in connection.execute(UNREAD.encode(), terms).fetchall()
    }
    metadata: dict[str, Any] = {"clients_unread": len(unread), "last_read": dict(list(unread.items())[:NAMED])}
    if not unread:
        return {"passed": True, "metadata": metadata}
    first, last = next(iter(unread.items()))
    told = (
        f"{len(unread)} clients whose money moved since {since} have had no balance for a day, first of all {first} "
        f"(last read: {last}): see whether PayShack's client list still names them, and their balance, as before."
    )
    return {**warning(told), "metadata": metadata}


def _signs(query: str, table: str, is_odd: Callable[[list[str]], list[str]]) -> Question:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        # Late, like the loader's own imports.
        from pipelines.sources.payshack.schema import MONEY_STATES

        since = settings.clock() - timedelta(days=DAYS)
        terms = {"since": since, "moving": sorted(MONEY_STATES)}
        counts = dict(connection.execute(query.encode(), terms).fetchall())
        odd = is_odd(sorted(counts))
        metadata: dict[str, Any] = {"since": since.isoformat(), "records": dict(sorted(counts.items())), "odd": odd}
        if not odd:
            return {"passed": True, "metadata": metadata}
        named = "; ".join(f"{counts[reading]} say {reading}" for reading in odd)
        told = (
            f"Signs in raw.{table} of the last {DAYS} days are not those that the models read ({named}): amounts, "
            "commission and charges positive, charges on top of a pay-out. Ask PayShack; until then the fees of "
            "rpt_balance_identity_daily are not to be trusted."
        )
        return {**warning(told), "metadata": metadata}

    return look


def _odd_payins(readings: list[str]) -> list[str]:
    return [reading for reading in readings if reading == "below zero"]


def _odd_payouts(readings: list[str]) -> list[str]:
    """Charges that are part of the amount, unexplained figures, and all of them where netAmount has both signs."""
    signed = [reading for reading in readings if reading[0] in "+-"]
    if len({reading[0] for reading in signed}) > 1:
        return [reading for reading in readings if reading in signed or reading == "below zero"]
    return [reading for reading in readings if reading.endswith(("below zero", "(amount - charges)", "another sum"))]


def _looks() -> Looks:
    identity = dg.AssetKey(["marts", "rpt_balance_identity_daily"])
    payins, payouts = (dg.AssetKey(["raw", table]) for table in ("payshack_payins", "payshack_payouts"))
    return {
        dg.AssetCheckKey(identity, "balances_follow_from_movements"): (
            "Opening balance and what moved make the closing balance, for every client and day known complete.",
            asked(_residuals),
        ),
        dg.AssetCheckKey(identity, "balances_are_read"): (
            f"Every client whose money moved in the last {DAYS} days has a balance that was read within a day.",
            asked(_unread),
        ),
        dg.AssetCheckKey(payins, "signs_are_as_read"): (
            f"No amount or commission of the last {DAYS} days is below zero.",
            asked(_signs(PAYIN_SIGNS, "payshack_payins", _odd_payins)),
        ),
        dg.AssetCheckKey(payouts, "signs_are_as_read"): (
            f"No amount or charge of the last {DAYS} days is below zero, and netAmount has charges on top, one sign.",
            asked(_signs(PAYOUT_SIGNS, "payshack_payouts", _odd_payouts)),
        ),
    }


LOOKS = _looks()

watch_balances = checks_of("watch_balances", LOOKS)
