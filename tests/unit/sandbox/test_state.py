"""What a PSP_HOME remembers of its sandbox: credentials and anchor for good, ports as they are now, one world only."""

from pathlib import Path

import pytest

from pipelines.core.errors import SettingsError
from pipelines.core.settings import load_settings
from pipelines.sandbox.state import ensure_state


def state_of(home: Path, **changes: str) -> dict[str, object]:
    return ensure_state(load_settings({"PSP_HOME": str(home)} | changes))


def test_credentials_and_anchor_stay_while_ports_may_change(tmp_path: Path) -> None:
    first = state_of(tmp_path)
    moved = state_of(tmp_path, PSP_SANDBOX_VIMA_PORT="8991")
    assert moved["anchor"] == first["anchor"]
    assert moved["payshack"] == first["payshack"]
    assert "8991" in str(moved["vima"])


@pytest.mark.parametrize("change", [{"PSP_SANDBOX_SEED": "8"}, {"PSP_SANDBOX_ORDERS": "2000"}])
def test_another_world_is_refused_where_one_has_begun(tmp_path: Path, change: dict[str, str]) -> None:
    first = state_of(tmp_path)
    with pytest.raises(SettingsError, match=r"another world.*new folder"):
        state_of(tmp_path, **change)
    assert state_of(tmp_path) == first
