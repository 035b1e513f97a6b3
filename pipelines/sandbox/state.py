"""PSP_HOME/sandbox.json: what both servers and their readers must agree on, with credentials invented on first use."""

import secrets
from datetime import UTC, datetime
from typing import Any

from pipelines.core.errors import SettingsError
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import read_json, sandbox_file, write_private_json
from pipelines.core.settings import Settings
from pipelines.sandbox.world import World

VIMA_PATH = "/collector/api/v3"
EMAIL = "reseller@sandbox.example"


def ensure_state(settings: Settings) -> dict[str, Any]:
    """The state of this PSP_HOME's sandbox, made on first use; a changed port is taken over.

    Raises SettingsError for another seed or number of orders than the home began with: that is another world, and the
    payments of two worlds in one raw log would be reconciled with each other.
    """
    known = read_json(sandbox_file(settings)) or {}
    wanted = {"seed": settings.psp_sandbox_seed, "orders": settings.psp_sandbox_orders}
    if known and (begun := {name: known[name] for name in wanted}) != wanted:
        raise SettingsError(
            f"{settings.psp_home} holds the sandbox world of {_named(begun)}; {_named(wanted)} is another world.",
            fix="set PSP_HOME to a new folder, or take PSP_SANDBOX_ORDERS and PSP_SANDBOX_SEED back",
        )
    vima, payshack = known.get("vima", {}), known.get("payshack", {})
    portal = f"http://127.0.0.1:{settings.psp_sandbox_payshack_port}"
    state = {
        **wanted,
        "anchor": known.get("anchor") or settings.clock().astimezone(UTC).isoformat(timespec="seconds"),
        "vima": {
            "base_url": f"http://127.0.0.1:{settings.psp_sandbox_vima_port}{VIMA_PATH}",
            "api_key": vima.get("api_key") or secrets.token_urlsafe(24),
        },
        "payshack": {
            "portal_url": portal,
            "api_url": portal,
            "email": payshack.get("email") or EMAIL,
            "password": payshack.get("password") or secrets.token_urlsafe(12),
            "response_secret": payshack.get("response_secret") or secrets.token_urlsafe(24),
            "response_iv": payshack.get("response_iv") or secrets.token_hex(8),
        },
    }
    if state != known:
        write_private_json(sandbox_file(settings), state)
    register_secrets([state["vima"]["api_key"], *(state["payshack"][name] for name in ("password", "response_secret"))])
    return state


def _named(world: dict[str, Any]) -> str:
    return f"PSP_SANDBOX_SEED={world['seed']} PSP_SANDBOX_ORDERS={world['orders']}"


def open_world(state: dict[str, Any]) -> World:
    """The world that the state describes."""
    return World(seed=state["seed"], orders=state["orders"], anchor=datetime.fromisoformat(state["anchor"]))
