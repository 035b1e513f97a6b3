"""Many HTTP clients of one process: keep-alive connections over asyncio, as cheap as Python allows.

What a client library spends per request would be measured along with the server on the same two cores, so requests are
written and answers read by hand.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """One answered request: what was asked under which name, the status, and how many seconds it took."""

    name: str
    status: int
    seconds: float


async def clients(port: int, key: str, plans: Sequence[Iterable[tuple[str, str]]], *, headers: str = "") -> list[Asked]:
    """One client per plan, each asking its (name, path) pairs one after the other without a pause."""
    answers = await asyncio.gather(*(_client(port, key, plan, headers) for plan in plans))
    return [answer for found in answers for answer in found]


async def _client(port: int, key: str, plan: Iterable[tuple[str, str]], headers: str) -> list[Asked]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    try:
        for name, path in plan:
            began = time.perf_counter()
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n{headers}\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            if length:
                await reader.readexactly(length)
            found.append(Asked(name, int(head[9:12]), time.perf_counter() - began))
    finally:
        writer.close()
    return found


def percentile(seconds: Iterable[float], share: float) -> float:
    """The value that `share` of the measurements do not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
