"""Precision and recall of reconciliation on a world whose truth is known; run by `make bench`, or alone:

    python -m tests.bench.planted_truth [--orders 100000]

    sandbox servers -> real loaders -> raw log, some plain payments made harder -> real models -> against the answer key

The answer key is the sandbox's own, a second writing of the rules in Python. The wire of today plants no pair by
reference and no near miss, so of every hundred plain payments three are changed in the raw log, as a source might:

    by reference   Vima's key is another one, and Vima passes PayShack's UTR on   -> one row, by pass 2
    mistyped       the last character of Vima's key is another one                -> missing twice, a suggestion
    lost key       Vima's key has nothing of PayShack's                           -> missing twice, a suggestion

Goals: precision and recall exactly 1 for every outcome and every reason; suggestions are published by band.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pipelines.core.postgres import connect
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import run_models
from pipelines.loading.payshack import load_payshack_feed
from pipelines.loading.vima import load_vima_feed
from pipelines.sandbox.answer_key import ExpectedRow
from tests.answer_key import Legs, answer_key, differences, reconciliation
from tests.bench_warehouse import bench_warehouse
from tests.sandbox import sandbox_providers

ORDERS = 100_000
EVERY = 100
READ = ("+rpt_reconciliation_suggestions", "+fct_reconciliation")
NAMED = 10

CHANGE = """
update raw.vima_operations as log
set order_key = changes.order_key,
    payload = log.payload || case
        when changes.utr is null then '{}'
        else jsonb_build_object('payment_custom_data', jsonb_build_object('utr', utr))
    end
from changes
where log.record_id = changes.record_id
"""
UTRS = """
select transaction_id, utr from (
    select 'payshack:payin:' || record_id as transaction_id, payload ->> 'utr' as utr
    from raw.payshack_payins
) as records
where utr <> '' and transaction_id = any(%s)
"""
SUGGESTED = """
select vima_transaction_id, payshack_transaction_id, band from marts.rpt_reconciliation_suggestions
"""


def main() -> int:
    """Print every outcome and reason, and the bands of the suggestions; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    orders = parser.parse_args().orders
    with (
        tempfile.TemporaryDirectory(prefix="psp-truth-") as home,
        bench_warehouse() as warehouse,
        sandbox_providers(Path(home), orders=orders, payshack=("--envelope", "plain")) as providers,
    ):
        settings = providers.settings(PSP_DATABASE_URL=warehouse.url)
        loaded = _timed(lambda: (load_vima_feed(settings), load_payshack_feed(settings)))
        key = answer_key(providers.world, settings)
        harder = Harder(key)
        harder.plant(warehouse.url)
        modelled = _timed(lambda: run_models(settings, project=parsed_project(settings), depth="models", select=READ))
        found, expected = reconciliation(settings), harder.expected()
        suggested = [tuple(row.values()) for row in warehouse.query(SUGGESTED)]
    _say(f"{orders:,} orders, {len(expected):,} rows (loaded in {loaded:.0f} s, modelled in {modelled:.0f} s)")
    wrong = differences(found, expected)
    is_exact = _judge_rows(
        {legs: (row["outcome"], row["reasons"]) for legs, row in found.items()},
        {legs: (row.outcome, row.reasons) for legs, row in expected.items()},
    )
    _say_suggestions(suggested, harder)
    _say("".join(f"  {line}\n" for line in wrong[:NAMED]) + f"rows that differ in anything: {len(wrong)}")
    return 0 if is_exact and not wrong else 1


class Harder:
    """Plain payments chosen by their place in the key, what is changed of them, and what must then be said."""

    def __init__(self, key: dict[Legs, ExpectedRow]) -> None:
        self._key = key
        paid = ((legs, row) for legs, row in key.items() if row.kind == "paid" and row.outcome == "matched")
        plain = [legs for legs, row in paid if not row.reasons]
        # By time, and without the busy last hours: what has lost its other side there may still be waited for.
        plain = plain[: len(plain) * 4 // 5]
        self.by_reference, self.mistyped, self.lost = (plain[start::EVERY] for start in range(3))
        self._are_mistyped = set(self.mistyped)

    def plant(self, url: str) -> None:
        """Change the raw log as if the source had told it so from the beginning."""
        with connect(url, application="bench") as connection:
            utrs = dict(connection.execute(UTRS, ([legs[1] for legs in self.by_reference],)).fetchall())
            connection.execute("create temporary table changes (record_id text primary key, order_key text, utr text)")
            with connection.cursor().copy("copy changes from stdin") as copy:
                for legs in (*self.by_reference, *self.mistyped, *self.lost):
                    copy.write_row((str(legs[0]).removeprefix("vima:"), self._new_key(legs), utrs.get(legs[1])))
            connection.execute(CHANGE.encode())

    def expected(self) -> dict[Legs, ExpectedRow]:
        """The key with what was made harder."""
        rows = dict(self._key)
        for legs in self.by_reference:
            row = rows[legs]
            rows[legs] = replace(row, order_key=self._new_key(legs), reasons=["matched_by_reference"])
        for legs in (*self.mistyped, *self.lost):
            for single in self._singles(legs, rows.pop(legs)):
                rows[single.vima_transaction_id, single.payshack_transaction_id] = single
        return rows

    def _singles(self, legs: Legs, pair: ExpectedRow) -> Iterator[ExpectedRow]:
        ours = {"outcome": "missing_payshack", "severity": "critical", "payshack_transaction_id": None}
        yield replace(pair, **ours, order_key=self._new_key(legs), reasons=["missing_side"])  # type: ignore[arg-type]
        theirs = {"outcome": "missing_vima", "severity": "high", "vima_transaction_id": None}
        yield replace(pair, **theirs, reasons=["missing_side"])  # type: ignore[arg-type]

    def _new_key(self, legs: Legs) -> str:
        """Keys of the world are ten apart, so another last digit is nobody else's."""
        key = str(self._key[legs].order_key)
        return f"{key[:-1]}{(int(key[-1]) + 7) % 10}" if legs in self._are_mistyped else f"LOST-{legs[0]}"


Said = tuple[str | None, list[str]]


def _judge_rows(found: dict[Legs, Said], expected: dict[Legs, Said]) -> bool:
    """One line for each outcome and reason; whether all of them are exact."""
    is_exact = True
    for what, words in (("outcome", _by_outcome), ("reason", _by_reason)):
        ours, truth = words(found), words(expected)
        for word in sorted(ours.keys() | truth.keys()):
            right = len(ours[word] & truth[word])
            precision, recall = right / max(len(ours[word]), 1), right / max(len(truth[word]), 1)
            is_exact &= ours[word] == truth[word]
            _say(f"  {what} {word:28} {len(truth[word]):8,} true   precision {precision:.6f}   recall {recall:.6f}")
    return is_exact


def _by_outcome(rows: dict[Legs, Said]) -> dict[str, set[Legs]]:
    return _collected((outcome or "none", legs) for legs, (outcome, _) in rows.items())


def _by_reason(rows: dict[Legs, Said]) -> dict[str, set[Legs]]:
    return _collected((reason, legs) for legs, (_, reasons) in rows.items() for reason in reasons)


def _collected(pairs: Iterable[tuple[str, Legs]]) -> dict[str, set[Legs]]:
    sets: dict[str, set[Legs]] = defaultdict(set)
    for word, legs in pairs:
        sets[word].add(legs)
    return sets


def _say_suggestions(suggested: list[tuple[str, ...]], harder: Harder) -> None:
    """Precision by band; recall of each kind of near miss, in any band."""
    truth = {"mistyped": set(harder.mistyped), "lost key": set(harder.lost)}
    true = truth["mistyped"] | truth["lost key"]
    listed = Counter(band for *_, band in suggested)
    right = Counter(band for vima, payshack, band in suggested if (vima, payshack) in true)
    for band in sorted(listed):
        _say(f"  suggestions {band:24} {listed[band]:8,} listed precision {right[band] / listed[band]:.4f}")
    for kind, pairs in truth.items():
        hit = sum((vima, payshack) in pairs for vima, payshack, _ in suggested)
        _say(f"  suggestions of {kind:21} {len(pairs):8,} true   recall {hit / max(len(pairs), 1):.4f}")


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
