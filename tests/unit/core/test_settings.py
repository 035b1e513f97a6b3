"""Settings come from the given environment alone; a wrong one stops the start and names the variable and the fix."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.core import settings as module
from pipelines.core.clock import fixed_clock, system_clock
from pipelines.core.errors import SettingsError
from pipelines.core.settings import PROJECT_ROOT, Settings, load_settings

VIMA = {"VIMA_BASE_URL": "https://vima.example/collector1/api/v1", "VIMA_API_KEY": "invented-key-1"}
PAYSHACK = {
    "PAYSHACK_PORTAL_URL": "https://portal.example/",
    "PAYSHACK_API_URL": "https://api.example",
    "PAYSHACK_EMAIL": "someone@mail.example",
    "PAYSHACK_PASSWORD": "invented-password",
    "PAYSHACK_RESPONSE_SECRET": "invented-secret",
}


def message(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    return str(caught.value)


def test_nothing_set_means_the_sandbox_and_the_embedded_database() -> None:
    settings = load_settings({})
    assert settings.vima_is_sandbox
    assert settings.payshack_is_sandbox
    assert settings.psp_database_url is None
    assert settings.psp_home == PROJECT_ROOT / ".psp"
    assert settings.clock is system_clock


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PSP_NOW", "2026-01-15T10:00:00", "needs a zone; write 2026-01-15T10:00:00Z"),
        ("PSP_NOW", "soon", "valid datetime"),
        ("PSP_BUSINESS_TIMEZONE", "India", "use a name such as Asia/Kolkata"),
        ("PSP_DATABASE_URL", "mysql://x", "must look like postgresql://user:password@host:5432/database"),
        ("PSP_SIDECAR_PORT", "0", "greater than or equal to 1"),
        ("PSP_SIDECAR_PORT", "70000", "less than or equal to 65535"),
        ("PSP_DAGSTER_PORT", "http", "valid integer"),
        ("PSP_SANDBOX_ORDERS", "0", "greater than or equal to 1"),
        ("VIMA_POLL_SECONDS", "1", "greater than or equal to 5"),
        ("VIMA_PAGE_PAUSE_SECONDS", "-1", "greater than or equal to 0"),
        ("VIMA_PARALLEL_DAYS", "0", "greater than or equal to 1"),
        ("PAYSHACK_TRANSPORT", "ftp", "'http' or 'browser'"),
        ("PAYSHACK_POLL_SECONDS", "3", "greater than or equal to 30"),
        ("PAYSHACK_LOOKBACK_DAYS", "32", "less than or equal to 31"),
        ("PAYSHACK_SWEEP_DAYS", "0", "greater than or equal to 1"),
        ("PAYSHACK_RECHECK_LIMIT", "-1", "greater than or equal to 0"),
        ("PAYSHACK_RESPONSE_IV", "short", "exactly 16 bytes"),
        ("METABASE_URL", "metabase.example", "must start with http:// or https://"),
        ("PSP_DAGSTER_WEBSERVER_URL", "dagster:3000", "must start with http:// or https://"),
        ("PSP_CORS_ORIGINS", "*", "must be origins such as https://app.example"),
        ("PSP_CORS_ORIGINS", "https://app.example/path", "must be origins such as https://app.example"),
        ("PSP_CORS_ORIGINS", "https://app.example,", "must be origins such as https://app.example"),
    ],
)
def test_a_wrong_value_names_the_variable_and_the_fix(variable: str, value: str, says: str) -> None:
    told = message({variable: value})
    assert variable in told
    assert says in told
    assert "Fix: " in told


@pytest.mark.parametrize("url", ["https://", "https://vima.example?apikey=x", "https://vima.example/#top", "ftp://x"])
def test_an_address_must_be_plain(url: str) -> None:
    assert "VIMA_BASE_URL" in message(VIMA | {"VIMA_BASE_URL": url})


def test_every_wrong_value_is_told_at_once_and_none_is_repeated() -> None:
    told = message({"PSP_SIDECAR_PORT": "hunter2", "PAYSHACK_RESPONSE_IV": "hunter3", "PSP_DATABASE_URL": "hunter4"})
    assert all(name in told for name in ("PSP_SIDECAR_PORT", "PAYSHACK_RESPONSE_IV", "PSP_DATABASE_URL"))
    assert "hunter" not in told


@pytest.mark.parametrize("group", [VIMA, PAYSHACK])
def test_half_a_set_of_credentials_is_refused(group: dict[str, str]) -> None:
    for missing in group:
        told = message({name: value for name, value in group.items() if name != missing})
        assert f"not {missing}" in told
        assert not any(value in told for value in group.values())


def test_real_addresses_lose_their_last_slash() -> None:
    settings = load_settings(VIMA | PAYSHACK)
    assert settings.payshack_portal_url == "https://portal.example"
    assert not settings.vima_is_sandbox
    assert not settings.payshack_is_sandbox


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_blank_value_means_not_set(name: str) -> None:
    assert load_settings({name.upper(): "  "}) == load_settings({})


def test_only_the_given_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIMA_POLL_SECONDS", "77")
    assert load_settings({}).vima_poll_seconds == 60
    assert load_settings().vima_poll_seconds == 77


def test_secrets_do_not_show_in_the_settings_object() -> None:
    shown = repr(load_settings(VIMA | PAYSHACK))
    assert not any(PAYSHACK[name] in shown for name in ("PAYSHACK_PASSWORD", "PAYSHACK_RESPONSE_SECRET"))
    assert VIMA["VIMA_API_KEY"] not in shown


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-from-file\n")
    settings = load_settings({"VIMA_BASE_URL": VIMA["VIMA_BASE_URL"], "VIMA_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.vima_api_key is not None
    assert settings.vima_api_key.get_secret_value() == "key-from-file"


def test_a_secret_file_that_cannot_be_used_names_its_variable(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in ("absent", "empty", "binary"):
        told = message({"VIMA_API_KEY_FILE": str(tmp_path / path)})
        assert "VIMA_API_KEY" in told
        assert "Fix: " in told
    (tmp_path / "key").write_text("x")
    assert "Both VIMA_API_KEY and VIMA_API_KEY_FILE" in message(
        {"VIMA_API_KEY": "y", "VIMA_API_KEY_FILE": str(tmp_path / "key")}
    )


def test_dot_env_is_read_literally_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("VIMA_BASE_URL=https://vima.example\nVIMA_API_KEY=a${HOME}b\nVIMA_POLL_SECONDS=70\n")
    monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
    settings = load_settings({"VIMA_POLL_SECONDS": "80"})
    assert settings.vima_api_key is not None
    assert settings.vima_api_key.get_secret_value() == "a${HOME}b"
    assert settings.vima_poll_seconds == 80


def test_home_may_be_relative_or_start_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({"PSP_HOME": "data"}).psp_home == PROJECT_ROOT / "data"
    assert load_settings({"PSP_HOME": "~/psp"}).psp_home == (tmp_path / "psp").resolve()


def test_a_set_instant_stops_the_clock_in_utc() -> None:
    settings = load_settings({"PSP_NOW": "2026-01-15T15:30:00+05:30"})
    assert settings.clock() == settings.clock() == datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
    assert settings.clock().tzinfo is UTC


def test_a_clock_needs_a_zone_and_moves_otherwise() -> None:
    with pytest.raises(ValueError, match="time zone"):
        fixed_clock(datetime(2026, 1, 15))  # noqa: DTZ001 - that is the point
    assert system_clock() <= system_clock()
