"""How long the cards of the dashboards take over a million transactions; run by `make bench`, or alone:

    python -m tests.bench.cards [--transactions 1000000] [--home FOLDER] [--only CARD ...]

Every card is asked as `psp dashboards check` asks it: without filters, with each filter in each form, with all of them.
Each question is asked three times and the quickest counts, so that neither a cold cache nor a neighbour decides. Read
like Metabase reads, through a portal that stops after so many rows: PostgreSQL uses no parallel workers for those.
Target: no card over 200 ms. Prints the slowest and how many are over.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from pipelines.core.settings import PROJECT_ROOT
from pipelines.dashboards.files import load_content
from pipelines.dashboards.run_check import RunCheck
from pipelines.dashboards.warehouse import business_today, reading, run_card
from tests.bench.big_marts import big_marts, running_marts

TARGET_MS = 200
TURNS = 3
NAMED = 15


def main() -> int:
    """Print the slowest question of each of the slowest cards. Exit code 1 when one is over the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, help="of a server that tests.bench.big_marts has left running")
    parser.add_argument("--only", nargs="+", default=[], metavar="CARD", help="names of card files, without .yaml")
    options = parser.parse_args()
    content = load_content(PROJECT_ROOT / "dashboards")
    slowest: list[tuple[float, str, str]] = []
    asked = 0
    with ExitStack() as stack:
        home = options.home
        settings = running_marts(home) if home else stack.enter_context(big_marts(options.transactions))
        connection = stack.enter_context(reading(settings))
        today = business_today(settings)
        check = RunCheck(connection, content, today)
        for card in content.cards.values():
            if options.only and card.path.stem not in options.only:
                continue
            worst = (0.0, "", card.path.stem)
            for told, values in check.variants(card):
                spent = min(run_card(connection, card, values, today).milliseconds for _ in range(TURNS))
                worst = max(worst, (spent, told, card.path.stem))
                asked += 1
            slowest.append(worst)
    over = [worst for worst in slowest if worst[0] > TARGET_MS]
    sys.stdout.write(f"{len(slowest)} cards, {asked} questions; over {TARGET_MS} ms: {len(over)}\n")
    for spent, told, name in sorted(slowest, reverse=True)[:NAMED]:
        sys.stdout.write(f"  {spent:6.0f} ms  {name} ({told})\n")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
