"""A small world of orders that the tests move by hand, over a real warehouse and the real models.

Orders.vima / payshack -> raw.* (one version each) -> Warehouse.changes(now) -> breaks.events
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.core.postgres import connect
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.model.manifest import parsed_project
from tests.conftest import copy_database, drop_database, take_parsed_models
from tests.integration.dbt.conftest import Warehouse
from tests.integration.dbt.worlds import LogRow, insert_log

START = datetime.fromisoformat("2026-01-15T10:00:00+00:00")
FLOWS = {"payshack_payins": "payin", "payshack_payouts": "payout"}


@dataclass(slots=True)
class Orders:
    """What both providers say, version by version, and the clock; every instant is minutes after START."""

    warehouse: Warehouse
    minute: float = 0
    _versions: dict[tuple[str, str], int] = field(default_factory=dict)
    _made: dict[tuple[str, str], datetime] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The stopped clock of the next model run."""
        return START + timedelta(minutes=self.minute)

    def vima(
        self,
        key: str,
        status: str,
        amount: float = 500,
        *,
        record: str | None = None,
        flow: str = "in",
        utr: str | None = None,
    ) -> None:
        """A version of Vima's record of an order, read now."""
        payload = {
            "project": "91game",
            "current_status": status,
            "complete_amount": amount,
            "complete_currency": "INR",
            "create_params": {"method": f"payment.{flow}"},
            "payment_custom_data": {"utr": utr},
        }
        self._insert("vima_operations", record or f"v{key}", key, payload)

    def payshack(
        self,
        key: str | None,
        status: str,
        amount: float = 500,
        *,
        record: str | None = None,
        out: bool = False,
        updated: float | None = None,
        **more: Any,
    ) -> None:
        """A version of PayShack's record of an order, read now; `updated` is PayShack's own minute, if another."""
        record = record or f"p{key}"
        payload = {
            "clientName": "91G_TECH_PVT_LTD",
            "txnStatus": status,
            "amount": amount,
            "paidAmount": amount,
            "utr": f"u{record}",
            "transactionType": "UPI_INTENT",
        } | more
        self._insert("payshack_payouts" if out else "payshack_payins", record, key, payload, updated)

    def run(self, minute: float | None = None, *, complete: bool = True) -> None:
        """The models at `minute`, with both sources complete up to it unless told otherwise."""
        self.minute = self.minute if minute is None else minute
        if complete:
            self.complete()
        # Without the bank, which nothing here has a statement of.
        self.warehouse.changes(self.now, "+fct_reconciliation", "path:models/intermediate/breaks")

    def complete(self) -> None:
        """Both sources are known complete up to the present minute."""
        self.warehouse.query(
            "insert into raw.source_watermarks (source, flow, watermark, updated_at)"
            " select source, flow, %(now)s, %(now)s"
            " from unnest(array['vima', 'payshack']) as source, unnest(array['payin', 'payout']) as flow"
            " on conflict (source, flow) do update set watermark = excluded.watermark",
            {"now": self.now},
        )

    def breaks(self, key: str | None = None) -> list[dict[str, Any]]:
        """Rows of fct_breaks, oldest first."""
        return self.warehouse.query(
            "select * from marts.fct_breaks where %(key)s::text is null or order_key = %(key)s"
            " order by opened_at, break_id",
            {"key": key},
        )

    def only(self, key: str) -> dict[str, Any]:
        """The one break of an order."""
        found = self.breaks(key)
        assert len(found) == 1, [(row["reason"], row["state"]) for row in found]
        return found[0]

    def story(self, key: str) -> list[tuple[str, str, str | None]]:
        """What happened to the breaks of an order: action, state afterwards, cause."""
        rows = self.warehouse.query(
            "select event.action, event.to_state, event.cause from marts.fct_break_events as event"
            " inner join marts.fct_breaks as about on event.break_id = about.break_id"
            " where about.order_key = %s order by event.sequence",
            (key,),
        )
        return [(row["action"], row["to_state"], row["cause"]) for row in rows]

    def _insert(
        self, table: str, record: str, key: str | None, payload: dict[str, Any], updated: float | None = None
    ) -> None:
        version = self._versions[table, record] = self._versions.get((table, record), 0) + 1
        created = self._made.setdefault((table, record), self.now)
        values = {
            "record_id": record,
            "content_hash": f"{record}-{version}",
            "order_key": key,
            "source_order": version,
            "source_created_at": created,
            "source_updated_at": self.now if updated is None else START + timedelta(minutes=updated),
            "payload": json.dumps(payload),
            "observed_at": self.now,
            "load_mode": "feed",
            "load_scope": "test",
            "load_page": 1,
            "_dlt_load_id": "test",
        }
        with connect(self.warehouse.url) as connection:
            insert_log(connection, [LogRow(table=table, observed_at=self.now, values=values)])


@pytest.fixture(scope="session")
def modelled_template(
    server_url: str, prepared_template: str, parsed_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Name of a database in which the models were built once over nothing, and the PSP_HOME that parsed them."""
    url = copy_database(server_url, prepared_template)
    home = str(tmp_path_factory.mktemp("home"))
    take_parsed_models(parsed_models, Path(home))
    settings = load_settings({"PSP_DATABASE_URL": url, "PSP_HOME": home, "PSP_NOW": START.isoformat()})
    warehouse = Warehouse(url=url, project=parsed_project(settings), make_settings=lambda **_: settings)
    warehouse.models(START)
    yield urlsplit(url).path.lstrip("/"), home
    drop_database(url)


@pytest.fixture
def orders(server_url: str, modelled_template: tuple[str, str]) -> Iterator[Orders]:
    """An empty world with its models built."""
    template, home = modelled_template
    url = copy_database(server_url, template)

    def make(**changes: str) -> Settings:
        return load_settings({"PSP_DATABASE_URL": url, "PSP_HOME": home} | changes)

    yield Orders(Warehouse(url=url, project=parsed_project(make()), make_settings=make))
    drop_database(url)


Make = Callable[..., Settings]
