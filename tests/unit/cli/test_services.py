"""Ports are judged before anything starts, and Dagster's home is laid out as it must be."""

import json
import socket
from pathlib import Path

import pytest

from pipelines.commands.services import code_socket, dagster_environment, needed_ports, require_free, sandbox_services
from pipelines.core.errors import PortInUseError
from pipelines.core.settings import load_settings
from tests.sandbox import free_port

REAL = {
    "VIMA_BASE_URL": "https://vima.example",
    "VIMA_API_KEY": "invented",
    "PAYSHACK_PORTAL_URL": "https://portal.example",
    "PAYSHACK_API_URL": "https://api.example",
    "PAYSHACK_EMAIL": "somebody@example.com",
    "PAYSHACK_PASSWORD": "invented",
    "PAYSHACK_RESPONSE_SECRET": "invented",
}


def test_real_providers_need_no_sandbox() -> None:
    assert [service.name for service in sandbox_services(load_settings(REAL))] == []
    assert [port.setting for port in needed_ports(load_settings(REAL))] == ["PSP_DAGSTER_PORT", "PSP_SIDECAR_PORT"]
    half = {name: value for name, value in REAL.items() if name.startswith("VIMA")}
    assert [service.name for service in sandbox_services(load_settings(half))] == ["sandbox-payshack"]


def test_every_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as first, socket.socket() as second:
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        dagster, sidecar = (listener.getsockname()[1] for listener in (first, second))
        settings = load_settings({"PSP_DAGSTER_PORT": str(dagster), "PSP_SIDECAR_PORT": str(sidecar), **REAL})
        with pytest.raises(PortInUseError) as caught:
            require_free(needed_ports(settings))
    for word in (str(dagster), str(sidecar)):
        assert word in caught.value.message
    for word in ("PSP_DAGSTER_PORT", "PSP_SIDECAR_PORT"):
        assert word in caught.value.fix


def test_one_port_for_two_is_refused() -> None:
    port = str(free_port())
    settings = load_settings({"PSP_DAGSTER_PORT": port, "PSP_SIDECAR_PORT": port, **REAL})
    with pytest.raises(PortInUseError, match="both Dagster and the sidecar"):
        require_free(needed_ports(settings))


def test_dagster_home_holds_instance_and_workspace(tmp_path: Path) -> None:
    settings = load_settings({"PSP_HOME": str(tmp_path)})
    where = code_socket(settings)
    environment = dagster_environment(settings, "postgresql://u:p@127.0.0.1:5432/psp", where)
    assert environment["PSP_DAGSTER_URL"].startswith("postgresql+psycopg2://")
    assert "dagster" in environment["PSP_DAGSTER_URL"].rpartition("?")[2]
    home = Path(environment["DAGSTER_HOME"])
    assert (home / "dagster.yaml").read_text() == (Path(__file__).parents[3] / "dagster.yaml").read_text()
    workspace = json.loads((home / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["grpc_server"]["socket"] == str(where)


def test_socket_of_a_long_home_lies_in_a_private_folder(tmp_path: Path) -> None:
    settings = load_settings({"PSP_HOME": str(tmp_path / ("long" * 30))})
    where = code_socket(settings)
    assert len(str(where)) < 100
    assert where.parent.stat().st_mode & 0o077 == 0
    assert code_socket(settings) == where
    where.parent.rmdir()
