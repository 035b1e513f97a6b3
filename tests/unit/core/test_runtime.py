"""The files by which the parts find each other: owner-only, whole or absent, and clear when they are not usable."""

import json
import stat
from pathlib import Path

import pytest

from pipelines.core import redaction
from pipelines.core.errors import DatabaseError, SettingsError
from pipelines.core.runtime import (
    database_url,
    payshack_access,
    postgres_file,
    read_json,
    sandbox_file,
    vima_access,
    write_private_json,
)
from pipelines.core.settings import Settings, load_settings

SANDBOX = {
    "vima": {"base_url": "http://127.0.0.1:1/api", "api_key": "invented-key-55"},
    "payshack": {
        "portal_url": "http://127.0.0.1:2",
        "api_url": "http://127.0.0.1:2",
        "email": "one@sandbox.example",
        "password": "invented-password-55",
        "response_secret": "invented-secret-55",
        "response_iv": "invented-iv-0055",
    },
}


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return load_settings({"PSP_HOME": str(tmp_path / "home")})


def test_a_private_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret.json"
    write_private_json(path, {"a": 1})
    write_private_json(path, {"a": 2})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_json(path) == {"a": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    write_private_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_private_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.json"]


def test_an_absent_file_is_none_and_a_broken_one_names_itself(tmp_path: Path) -> None:
    assert read_json(tmp_path / "absent.json") is None
    for content in ("{", "[]", '"x"'):
        (tmp_path / "broken.json").write_text(content)
        with pytest.raises(SettingsError, match=r"broken\.json in PSP_HOME cannot be read .* delete broken\.json"):
            read_json(tmp_path / "broken.json")


def test_the_database_is_the_set_one_else_the_running_one(home: Settings) -> None:
    with pytest.raises(DatabaseError, match="run `psp up`, or set PSP_DATABASE_URL"):
        database_url(home)
    write_private_json(postgres_file(home), {"url": "postgresql://u:p@127.0.0.1:5/psp", "port": 5})
    assert database_url(home) == "postgresql://u:p@127.0.0.1:5/psp"
    outside = load_settings({"PSP_DATABASE_URL": "postgresql://outside/db", "PSP_HOME": str(home.psp_home)})
    assert database_url(outside) == "postgresql://outside/db"


def test_providers_are_the_set_ones_else_the_running_sandbox(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_literals", set())
    with pytest.raises(SettingsError, match="vima has no address: VIMA_BASE_URL is not set"):
        vima_access(home)
    with pytest.raises(SettingsError, match="payshack has no address: PAYSHACK_PORTAL_URL is not set"):
        payshack_access(home)
    write_private_json(sandbox_file(home), SANDBOX)
    assert vima_access(home).base_url == "http://127.0.0.1:1/api"
    assert payshack_access(home).page_pause_seconds == 0
    # Whoever reads the credentials has them masked from then on.
    assert "invented" not in redaction.redact(json.dumps(SANDBOX))


@pytest.mark.parametrize("source", ["vima", "payshack"])
def test_a_sandbox_file_of_another_version_says_so(home: Settings, source: str) -> None:
    write_private_json(sandbox_file(home), SANDBOX | {source: {"url": "x"}})
    with pytest.raises(SettingsError, match=r"sandbox\.json in PSP_HOME cannot be read \(it is of another version\)"):
        (vima_access if source == "vima" else payshack_access)(home)
