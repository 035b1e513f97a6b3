"""Closing a day from outside of a model run: bring the marts to rest, sign, let the marts of closes follow.

Usable without Dagster; the command line and the schedule both come here.
"""

from collections.abc import Callable
from datetime import date, timedelta

from pipelines.closing.calendar import Kind, newest_closable
from pipelines.closing.ledger import Close, NotAtRest, closes, sign
from pipelines.closing.rule_book import RuleBook
from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import PROJECT, content_fingerprint, parsed_project
from pipelines.defs.model.runner import run_models

TRIES = 5
LOOK_BACK_DAYS = 7
CLOSE_MARTS = ("rpt_day_closes", "rpt_prior_period_adjustments")


def close_day(
    settings: Settings, url: str, *, day: date, kind: Kind, by: str, note: Callable[[str], None] = lambda text: None
) -> Close:
    """Sign `day` as it is known now. Raises ClosingError, ConflictError, DatabaseError or ModelError."""
    rules = RuleBook(version=content_fingerprint(settings), project=PROJECT)
    project = parsed_project(settings)
    for attempt in range(TRIES):
        try:
            note("signing")
            signed, _ = sign(
                url, day=day, kind=kind, by=by, now=settings.clock(), zone=settings.business_zone, rules=rules
            )
            break
        except NotAtRest:
            # Loads go on meanwhile: what came in during the run of the models is seen by the next one.
            if attempt == TRIES - 1:
                raise
            note("running the models")
            run_models(settings, project=project, depth="models")
    run_models(settings, project=project, depth="models", select=CLOSE_MARTS)
    return signed


def days_to_close(settings: Settings, url: str, kind: Kind) -> list[date]:
    """Days of the last week that may be closed as `kind` and have no close, oldest first. Raises DatabaseError."""
    newest = newest_closable(settings.clock(), kind, settings.business_zone)
    with connect(url, role=TRANSFORMER, application="psp-close") as connection:
        closed = {close.business_date for close in closes(connection)}
    days = [newest - timedelta(days=back) for back in range(LOOK_BACK_DAYS - 1, -1, -1)]
    return [day for day in days if day not in closed]
