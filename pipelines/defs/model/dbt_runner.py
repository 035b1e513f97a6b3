"""dbt as a function of this process."""

from collections.abc import Callable, Sequence
from typing import Any


def dbt_runner(manifest: Any = None, callbacks: Sequence[Callable[[Any], None]] = ()) -> Any:
    """dbt's own runner, as quick at the hundredth run of a process as at the first.

    Each run makes an adapter, and dbt-adapters 1.24 adds that adapter's behaviour flags to a list of its module for
    good; for every entry it then walks the whole call stack. Each flag is kept once.
    """
    from dbt.adapters.base.impl import DEFAULT_BASE_BEHAVIOR_FLAGS
    from dbt.cli.main import dbtRunner

    DEFAULT_BASE_BEHAVIOR_FLAGS[:] = {flag["name"]: flag for flag in DEFAULT_BASE_BEHAVIOR_FLAGS}.values()
    return dbtRunner(manifest=manifest, callbacks=list(callbacks))
