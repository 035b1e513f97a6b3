"""The live feed's tasks end when they are told to, even where the word gets lost."""

import asyncio
import logging

import pytest

from pipelines.sidecar import live
from pipelines.sidecar.live import end_tasks


async def _rests() -> None:
    await asyncio.sleep(60)


async def _forgets(times: int) -> None:
    """Takes the first cancellations for something else, as asyncio.wait_for of Python 3.11 does in a race."""
    for _ in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(60)


async def _fails() -> None:
    raise ValueError("postgresql://somebody:hidden-word@127.0.0.1/x")


def test_a_task_that_forgets_a_cancellation_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CANCEL_SECONDS", 0.01)

    async def end() -> list[bool]:
        tasks = [asyncio.create_task(work) for work in (_rests(), _forgets(3), _rests())]
        await asyncio.sleep(0)
        await end_tasks(tasks)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(end()) == [True, True, True]


def test_a_task_that_never_ends_is_left_behind_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "CANCEL_SECONDS", 0.001)

    async def end() -> bool:
        task = asyncio.create_task(_forgets(live.MAX_CANCELS))
        await asyncio.sleep(0)
        await end_tasks([task])
        return task.done()

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(end()) is False
    assert "does not end" in caplog.text


def test_a_task_that_had_failed_is_said_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    async def end() -> None:
        task = asyncio.create_task(_fails())
        await asyncio.sleep(0)
        await end_tasks([task])

    asyncio.run(end())

    assert "had failed" in caplog.text
    assert "hidden-word" not in caplog.text
