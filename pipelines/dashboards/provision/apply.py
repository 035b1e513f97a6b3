"""The whole way, in the order in which one thing needs another. The same for a plan, which sends nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.core.errors import SettingsError
from pipelines.core.settings import Settings
from pipelines.dashboards.deploy import Deploy
from pipelines.dashboards.entities import Content
from pipelines.dashboards.provision import access, content, mail
from pipelines.dashboards.provision.client import Client
from pipelines.dashboards.provision.connections import connections
from pipelines.dashboards.provision.sign_in import Kept, sign_in, wait_until_up
from pipelines.dashboards.provision.work import Change, Work


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, or would be. `writes` are the requests that changed something, sign-in and sync left out."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    writes: tuple[tuple[str, str], ...]
    addresses: dict[str, str]


def provision(
    settings: Settings,
    files: Content,
    deploy: Deploy,
    *,
    dry: bool = False,
    say: Callable[[str], None] = lambda _: None,
    pause_seconds: float = 1.0,
) -> Report:
    """Bring the Metabase at METABASE_URL to what the files say. May be repeated, also after it broke off in the middle.

    Raises SettingsError without an address, DashboardError when Metabase refuses or does not answer.
    """
    if settings.metabase_url is None:
        raise SettingsError("METABASE_URL is not set.", fix="set it to the address of a Metabase 0.63")
    with Client(settings.metabase_url, pause_seconds=pause_seconds) as client:
        wait_until_up(client)
        kept = Kept(settings)
        me = sign_in(client, settings, kept, dry=dry)
        work = Work(client=client, settings=settings, content=files, deploy=deploy, dry=dry, me=me, say=say)
        connections(work, kept)
        content.collections(work)
        # Walls before rooms are filled: a new collection takes its parent's permissions.
        ids = access.groups(work)
        access.permissions(work, ids)
        content.cards(work)
        content.dashboards(work)
        access.server(work)
        mail.subscriptions(work)
        content.prune(work)
        writes = tuple(item for item in client.writes if not item[1].endswith(("/session", "/sync_schema")))
        addresses = {
            files.dashboards[key].name: f"{settings.metabase_url}/dashboard/{number}"
            for key, number in work.dashboards.items()
            if number > 0
        }
        return Report(tuple(work.changes), tuple(work.warnings), writes, addresses)
