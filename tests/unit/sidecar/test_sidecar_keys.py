"""API keys: kept hashed, owner-only, worthless when wrong, expired or revoked."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.core.errors import SettingsError
from pipelines.core.settings import Settings, load_settings
from pipelines.sidecar.keys import (
    SANDBOX_KEY,
    SCOPES,
    KeyRing,
    create_key,
    ensure_sandbox_key,
    keys_file,
    list_keys,
    revoke_key,
)


@pytest.fixture
def home(tmp_path: Path) -> Callable[..., Settings]:
    def settings(**changes: str) -> Settings:
        return load_settings({"PSP_HOME": str(tmp_path), "PSP_NOW": "2026-01-20T12:00:00Z"} | changes)

    return settings


def test_a_key_opens_what_it_was_made_for(home: Callable[..., Settings]) -> None:
    text = create_key(home(), name="reports", scopes=["export", "read"])

    verdict = KeyRing(home()).check(text)

    assert verdict.key is not None
    assert (verdict.key.name, verdict.key.scopes) == ("reports", ("read", "export"))


def test_the_file_holds_no_key_and_is_for_its_owner_only(home: Callable[..., Settings]) -> None:
    text = create_key(home(), name="reports", scopes=["read"])
    path = keys_file(home())

    assert text.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t.upper(), lambda t: "x" + t])
def test_a_key_that_is_off_by_a_little_is_not_known(
    home: Callable[..., Settings], change: Callable[[str], str]
) -> None:
    text = create_key(home(), name="reports", scopes=["read"])

    verdict = KeyRing(home()).check(change(text))

    assert verdict.key is None
    assert "not known" in verdict.problem


@pytest.mark.parametrize("presented", ["", "psp__", "psp_00_", "_", "psp", "ключ", "\ud800", "psp_" + "a" * 10_000])
def test_nonsense_is_not_known(home: Callable[..., Settings], presented: str) -> None:
    create_key(home(), name="reports", scopes=["read"])

    assert KeyRing(home()).check(presented).key is None


def test_without_a_file_no_key_is_known(home: Callable[..., Settings]) -> None:
    assert KeyRing(home()).check("psp_0123456789_secret").key is None


def test_a_key_ends_when_its_days_are_over(home: Callable[..., Settings]) -> None:
    text = create_key(home(), name="reports", scopes=["read"], days=2)

    assert KeyRing(home(PSP_NOW="2026-01-22T11:59:59Z")).check(text).key is not None
    verdict = KeyRing(home(PSP_NOW="2026-01-22T12:00:00Z")).check(text)

    assert verdict.key is None
    assert "expired at 2026-01-22" in verdict.problem


def test_a_revoked_key_stops_in_a_running_process(home: Callable[..., Settings]) -> None:
    text = create_key(home(), name="reports", scopes=["read"])
    ring = KeyRing(home())
    good = ring.check(text).key
    assert good is not None

    assert revoke_key(home(), "reports")

    assert ring.check(text).key is None
    assert ring.recheck(good).key is None
    assert not revoke_key(home(), "reports")


def test_a_key_made_later_works_in_a_running_process(home: Callable[..., Settings]) -> None:
    ring = KeyRing(home())
    assert ring.check("psp_0_0").key is None

    assert ring.check(create_key(home(), name="later", scopes=["read"])).key is not None


def test_two_live_keys_never_share_a_name(home: Callable[..., Settings]) -> None:
    create_key(home(), name="reports", scopes=["read"], days=1)

    with pytest.raises(SettingsError, match="already an API key named reports"):
        create_key(home(), name="reports", scopes=["read"])
    # Once it has expired, the name is free and the old key is forgotten.
    create_key(home(PSP_NOW="2026-01-25T00:00:00Z"), name="reports", scopes=["read"])

    assert len(list_keys(home())) == 1


@pytest.mark.parametrize(
    ("name", "scopes", "days"), [(" ", ["read"], 1), ("a", [], 1), ("a", ["root"], 1), ("a", ["read"], 0)]
)
def test_a_senseless_key_is_refused(home: Callable[..., Settings], name: str, scopes: list[str], days: int) -> None:
    with pytest.raises(SettingsError, match="needs a name, scopes and a life"):
        create_key(home(), name=name, scopes=scopes, days=days)  # type: ignore[arg-type]


def test_a_file_that_others_may_write_is_not_trusted(home: Callable[..., Settings]) -> None:
    text = create_key(home(), name="reports", scopes=["read"])
    keys_file(home()).chmod(0o666)

    with pytest.raises(SettingsError, match=r"Others may write .* Fix: chmod 600"):
        KeyRing(home()).check(text)


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": [{"id": "x"}]}', '{"keys": "all"}'])
def test_a_broken_file_lets_nobody_in(home: Callable[..., Settings], content: str) -> None:
    path = keys_file(home())
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(SettingsError, match="Fix: delete"):
        KeyRing(home()).check("psp_0_0")


def test_the_file_can_lie_elsewhere(home: Callable[..., Settings], tmp_path: Path) -> None:
    settings = home(PSP_API_KEYS_FILE=str(tmp_path / "secrets" / "keys.json"))

    text = create_key(settings, name="reports", scopes=["read"])

    assert KeyRing(settings).check(text).key is not None
    assert json.loads((tmp_path / "secrets" / "keys.json").read_text())["keys"][0]["name"] == "reports"


def test_a_sandbox_start_makes_one_key_once(home: Callable[..., Settings]) -> None:
    first = ensure_sandbox_key(home())

    assert first is not None
    assert ensure_sandbox_key(home()) is None
    found = KeyRing(home()).check(first).key
    assert found is not None
    assert (found.name, found.scopes) == (SANDBOX_KEY, SCOPES)


def test_an_expired_sandbox_key_is_replaced_and_others_stay(home: Callable[..., Settings]) -> None:
    create_key(home(), name="reports", scopes=["read"], days=1000)
    old = ensure_sandbox_key(home())
    later = home(PSP_NOW="2027-01-20T12:00:00Z")

    new = ensure_sandbox_key(later)

    assert old is not None
    assert new is not None
    assert KeyRing(later).check(old).key is None
    assert KeyRing(later).check(new).key is not None
    assert {key.name for key in list_keys(later)} == {"reports", SANDBOX_KEY}


def test_with_a_real_source_no_key_is_made(home: Callable[..., Settings]) -> None:
    real = home(VIMA_BASE_URL="https://vima.example", VIMA_API_KEY="invented-key")

    assert ensure_sandbox_key(real) is None
    assert list_keys(real) == []
