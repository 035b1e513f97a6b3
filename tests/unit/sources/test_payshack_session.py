"""The kept session: reused until it expires, owner-only, one login at a time, none while too many were refused."""

import json
import multiprocessing
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import SourceAuthError, SourceUnavailable
from pipelines.core.settings import Settings, load_settings
from pipelines.sources.payshack import session as module
from pipelines.sources.payshack.portal import Session
from pipelines.sources.payshack.session import COOL_DOWN, EXPIRY_MARGIN, MAX_REFUSALS, SessionStore
from tests.unit.sources.payshack_in_memory import ACCESS, session


class Portal:
    """Signs in, or refuses; counts."""

    def __init__(self, error: Exception | None = None, *, minutes: float = 30) -> None:
        self.error, self.minutes, self.logins = error, minutes, 0

    def __call__(self) -> Session:
        self.logins += 1
        if self.error:
            raise self.error
        return session(self.logins, minutes=self.minutes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"PSP_HOME": str(tmp_path)})


@pytest.fixture
def store(settings: Settings) -> SessionStore:
    return SessionStore(settings)


def files(settings: Settings) -> dict[str, str]:
    folder = settings.psp_home / "payshack"
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_session_is_reused_by_everybody_until_it_is_about_to_expire(settings: Settings, store: SessionStore) -> None:
    portal = Portal()
    first = store.session(ACCESS, sign_in=portal)
    assert store.session(ACCESS, sign_in=portal) == first
    assert SessionStore(settings).session(ACCESS, sign_in=portal) == first
    assert portal.logins == 1


def test_a_session_near_its_end_is_replaced(store: SessionStore) -> None:
    portal = Portal(minutes=EXPIRY_MARGIN.total_seconds() / 60 - 0.01)
    store.session(ACCESS, sign_in=portal)
    assert store.current(ACCESS) is None
    store.session(ACCESS, sign_in=portal)
    assert portal.logins == 2


def test_a_stopped_clock_does_not_keep_a_session_alive(tmp_path: Path) -> None:
    store = SessionStore(load_settings({"PSP_HOME": str(tmp_path), "PSP_NOW": "2020-01-01T00:00:00Z"}))
    store.session(ACCESS, sign_in=Portal(minutes=-1))
    assert store.current(ACCESS) is None


def test_what_is_kept_is_for_its_owner_alone(settings: Settings, store: SessionStore) -> None:
    store.session(ACCESS, sign_in=Portal())
    with pytest.raises(SourceAuthError):
        store.session(ACCESS, refused=session(1), sign_in=Portal(SourceAuthError("refused")))
    folder = settings.psp_home / "payshack"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("session.json", "breaker.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    # Whose it is can be compared, but not read.
    assert ACCESS.email not in files(settings)["session.json"]
    assert ACCESS.password not in "".join(files(settings).values())


@pytest.mark.parametrize("change", [{"email": "two@portal.example"}, {"portal_url": "http://other"}, {"api_url": "x"}])
def test_another_account_or_portal_never_gets_the_session(store: SessionStore, change: dict[str, str]) -> None:
    store.session(ACCESS, sign_in=Portal())
    assert store.current(replace(ACCESS, **change)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"token": "x"}'])
def test_a_damaged_file_is_as_good_as_none(settings: Settings, store: SessionStore, content: str) -> None:
    store.session(ACCESS, sign_in=Portal())
    (settings.psp_home / "payshack" / "session.json").write_text(content)
    assert store.current(ACCESS) is None
    assert store.session(ACCESS, sign_in=Portal()).token == "invented-token-1"


def test_a_session_of_another_version_is_as_good_as_none(settings: Settings, store: SessionStore) -> None:
    store.session(ACCESS, sign_in=Portal())
    path = settings.psp_home / "payshack" / "session.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"of_tomorrow": 1}))
    assert store.current(ACCESS) is None


def test_a_refused_session_is_not_given_again(store: SessionStore) -> None:
    portal = Portal()
    refused = store.session(ACCESS, sign_in=portal)
    renewed = store.session(ACCESS, refused=refused, sign_in=portal)
    assert renewed.token != refused.token
    assert portal.logins == 2


def test_who_is_refused_with_an_old_session_takes_the_one_that_another_got(store: SessionStore) -> None:
    portal = Portal()
    old = store.session(ACCESS, sign_in=portal)
    new = store.session(ACCESS, refused=old, sign_in=portal)
    assert store.session(ACCESS, refused=old, sign_in=portal) == new
    assert portal.logins == 2


def test_forgetting_a_refused_session_leaves_a_newer_one_alone(store: SessionStore) -> None:
    portal = Portal()
    old = store.session(ACCESS, sign_in=portal)
    new = store.session(ACCESS, refused=old, sign_in=portal)
    store.forget(ACCESS, refused=old)
    assert store.current(ACCESS) == new
    store.forget(ACCESS, refused=new)
    assert store.current(ACCESS) is None
    store.forget()


def test_many_at_once_make_one_login(settings: Settings) -> None:
    portal, got = Portal(), []

    def take() -> None:
        got.append(SessionStore(settings).session(ACCESS, sign_in=portal))

    threads = [threading.Thread(target=take) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert portal.logins == 1
    assert len({one.token for one in got}) == 1


def _renew(home: str, refused: Session, ready: Any, logins: Any) -> None:
    def sign_in() -> Session:
        with logins.get_lock():
            logins.value += 1
        return session(100 + logins.value)

    ready.wait()
    SessionStore(load_settings({"PSP_HOME": home})).session(ACCESS, refused=refused, sign_in=sign_in)


def test_processes_that_renew_at_once_make_one_login(settings: Settings, store: SessionStore) -> None:
    refused = store.session(ACCESS, sign_in=Portal())
    spawn = multiprocessing.get_context("spawn")
    ready, logins = spawn.Event(), spawn.Value("i", 0)
    arguments = (str(settings.psp_home), refused, ready, logins)
    processes = [spawn.Process(target=_renew, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    ready.set()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert logins.value == 1


def test_after_refusals_in_a_row_nobody_logs_in_before_the_cool_down_ends(
    settings: Settings, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    monkeypatch.setattr(module, "system_clock", lambda: now)
    refusing = Portal(SourceAuthError("refused"))
    for _ in range(MAX_REFUSALS + 2):
        with pytest.raises(SourceAuthError):
            # A process of its own each time: the count outlives it.
            SessionStore(settings).session(ACCESS, sign_in=refusing)
    assert refusing.logins == MAX_REFUSALS
    with pytest.raises(SourceAuthError, match=r"refused 3 logins in a row.*psp payshack login --reset"):
        store.refuse_while_cooling()
    now += COOL_DOWN + timedelta(seconds=1)
    for _ in range(2):
        with pytest.raises(SourceAuthError):
            store.session(ACCESS, sign_in=refusing)
    assert refusing.logins == MAX_REFUSALS + 1  # one try per cool-down


def test_a_person_can_allow_the_next_login_at_once(store: SessionStore) -> None:
    refusing = Portal(SourceAuthError("refused"))
    for _ in range(MAX_REFUSALS + 1):
        with pytest.raises(SourceAuthError):
            store.session(ACCESS, sign_in=refusing)
    store.reset_breaker()
    assert store.session(ACCESS, sign_in=Portal()).token == "invented-token-1"


def test_a_login_that_succeeds_ends_the_count(store: SessionStore) -> None:
    for _ in range(3):
        for _ in range(MAX_REFUSALS - 1):
            with pytest.raises(SourceAuthError):
                store.session(ACCESS, sign_in=Portal(SourceAuthError("refused")), refused=session(1))
        store.session(ACCESS, sign_in=Portal(), refused=session(1))


def test_a_portal_in_trouble_is_no_refusal(store: SessionStore) -> None:
    down = Portal(SourceUnavailable("down"))
    for _ in range(MAX_REFUSALS + 2):
        with pytest.raises(SourceUnavailable):
            store.session(ACCESS, sign_in=down)
    assert down.logins == MAX_REFUSALS + 2


@pytest.mark.parametrize("content", ["{", "[]", '{"refusals": "many"}', '{"refusals": 3, "until": "soon"}'])
def test_a_damaged_count_means_caution(settings: Settings, store: SessionStore, content: str) -> None:
    store.session(ACCESS, sign_in=Portal())
    (settings.psp_home / "payshack" / "breaker.json").write_text(content)
    with pytest.raises(SourceAuthError, match="no login is tried"):
        store.session(ACCESS, refused=session(1), sign_in=Portal())


def test_a_session_shows_nothing_of_itself() -> None:
    assert "invented" not in repr(session())
    assert "invented" not in f"{session()}"
