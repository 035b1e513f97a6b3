"""The quiet time of `psp up`: one status line, dead processes started again, until asked to stop."""

import time
from collections.abc import Callable

from rich.live import Live
from rich.text import Text

from pipelines.commands.console import Screen
from pipelines.commands.health import in_words, read_health
from pipelines.commands.owner import Ownership
from pipelines.commands.supervisor import Supervisor
from pipelines.core import embedded_postgres
from pipelines.core.errors import DatabaseError
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

TICK_SECONDS = 0.5
REFRESH_SECONDS = 5.0
PLAIN_REFRESH_SECONDS = 60.0


def watch(settings: Settings, supervisor: Supervisor, ownership: Ownership, screen: Screen) -> None:
    """Until KeyboardInterrupt. Raises PlatformError when a part cannot be kept alive."""
    if not screen.err.is_terminal:
        _loop(settings, supervisor, ownership, screen.say, PLAIN_REFRESH_SECONDS)
        return
    with Live(console=screen.err, auto_refresh=False, transient=True) as live:

        def show(line: str) -> None:
            live.update(Text(f"  {line}", overflow="ellipsis", no_wrap=True), refresh=True)

        _loop(settings, supervisor, ownership, show, REFRESH_SECONDS)


def _loop(
    settings: Settings, supervisor: Supervisor, ownership: Ownership, show: Callable[[str], None], every: float
) -> None:
    told_at = 0.0
    while True:
        if supervisor.check():
            ownership.publish(children=supervisor.describe())
        if time.monotonic() - told_at >= every:
            told_at = time.monotonic()
            show(_status(settings))
        time.sleep(TICK_SECONDS)


def _status(settings: Settings) -> str:
    """One line; a database that has gone is started again when it is ours, and told otherwise."""
    now = settings.clock()
    try:
        if settings.psp_database_url is None and not embedded_postgres.is_running(settings):
            embedded_postgres.start(settings)
        return f"{now:%H:%M:%S} UTC  {in_words(read_health(database_url(settings)), now)}"
    except DatabaseError as error:
        return f"{now:%H:%M:%S} UTC  {error.message}"
