"""The marts of a signed day on a database of its own, by a project of its own: how a close is built again.

Not the runner: nothing here remembers what it built, and the project is the one that decided the day. Usable without
Dagster.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.closing.rebuild import Scratch
from pipelines.core.errors import ModelError
from pipelines.core.redaction import redact
from pipelines.defs.model.dbt_runner import dbt_runner
from pipelines.defs.model.manifest import environment
from pipelines.defs.model.runner import THREADS, dbt_environment
from pipelines.defs.model.shadow import LIFE_OF_BREAKS

REPORTED = ("+fct_movements", "+rpt_reconciliation_daily", "+rpt_bridge_daily", "+rpt_tolerance_ledger")


def build_elsewhere(scratch: Scratch) -> None:
    """Build what a day's report is read from. Raises ModelError."""
    variables = {"now": scratch.now.isoformat(), "business_timezone": scratch.business_timezone}
    arguments = ["build", "--full-refresh", "--select", *REPORTED, "--vars", json.dumps(variables)]
    # What people had decided lies in the log of breaks, which the scratch database has as it was: read, not continued.
    arguments += [
        "--exclude",
        LIFE_OF_BREAKS,
        "--exclude-resource-type",
        "unit_test",
        "--exclude-resource-type",
        "test",
    ]
    outcome = _invoke(scratch.project, scratch.url, arguments)
    if not outcome.success:
        failed = [str(node.message) for node in getattr(outcome.result, "results", None) or [] if node.message]
        reason = " ".join(redact(str(outcome.exception or "; ".join(failed))).split())[:500]
        raise ModelError(
            f"The rules of the signed day cannot be built: {reason}",
            fix="use the release that the day was signed with",
        )


def _invoke(project: Path, url: str, arguments: Sequence[str]) -> Any:
    flags = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", str(project / "target")]
    flags += ["--log-path", str(project / "logs"), "--threads", str(THREADS), "--no-write-json"]
    flags += ["--no-send-anonymous-usage-stats", "--log-level", "none", "--log-level-file", "none"]
    with environment(dbt_environment(url)):
        return dbt_runner().invoke([*arguments, *flags])
