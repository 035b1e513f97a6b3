"""PSP_HOME/sandbox.json: what both servers and their readers must agree on, with credentials invented on first use."""

import secrets
from datetime import UTC, datetime
from typing import Any

from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import read_json, sandbox_file, write_private_json
from pipelines.core.settings import Settings
from pipelines.sandbox.world import World

VIMA_PATH = "/collector/api/v3"
EMAIL = "reseller@sandbox.example"


def ensure_state(settings: Settings) -> dict[str, Any]:
    """The state of this PSP_HOME's sandbox, made on first use; a changed port, seed or size is taken over.

    Another seed or number of orders is another world: its history begins anew, so the anchor is set again.
    """
    known = read_json(sandbox_file(settings)) or {}
    wanted = {"seed": settings.psp_sandbox_seed, "orders": settings.psp_sandbox_orders}
    anchor = known.get("anchor") if all(known.get(name) == value for name, value in wanted.items()) else None
    vima, payshack = known.get("vima", {}), known.get("payshack", {})
    portal = f"http://127.0.0.1:{settings.psp_sandbox_payshack_port}"
    state = {
        **wanted,
        "anchor": anchor or settings.clock().astimezone(UTC).isoformat(timespec="seconds"),
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


def open_world(state: dict[str, Any]) -> World:
    """The world that the state describes."""
    return World(seed=state["seed"], orders=state["orders"], anchor=datetime.fromisoformat(state["anchor"]))
