"""Chance that can be asked again: a 64-bit draw for (seed, case, stream), the same singly and in bulk.

A generator with a state would have to be run through all cases before one; here any case is made by itself, in any
order, in any process. The mixing is SplitMix64's finaliser.
"""

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_CASE, _STREAM, _SEED = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

Longs = NDArray[np.uint64]


@lru_cache(maxsize=512)
def stream_number(name: str) -> int:
    """A stable number for a named stream of draws."""
    return zlib.crc32(name.encode())


def draw(seed: int, case: int, stream: str) -> int:
    """A 64-bit draw of one case."""
    x = (seed * _SEED + case * _CASE + stream_number(stream) * _STREAM) & _MASK
    x = ((x ^ (x >> 30)) * _FIRST) & _MASK
    x = ((x ^ (x >> 27)) * _SECOND) & _MASK
    return x ^ (x >> 31)


def draws(seed: int, cases: Longs, stream: str) -> Longs:
    """The draws of many cases at once, equal to `draw` of each."""
    offset = (seed * _SEED + stream_number(stream) * _STREAM) & _MASK
    x = cases * np.uint64(_CASE) + np.uint64(offset)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
    return x ^ (x >> np.uint64(31))


def lots_of(seed: int, cases: Sequence[int], streams: Sequence[str]) -> Iterable[tuple[int, ...]]:
    """For each case its draws of all `streams`: what a page of records takes, at once."""
    numbers = np.array(cases, dtype=np.uint64)
    return zip(*(draws(seed, numbers, stream).tolist() for stream in streams), strict=True)


def units(seed: int, cases: Longs, stream: str) -> NDArray[np.float64]:
    """Draws as numbers from 0 to 1, 1 left out."""
    return (draws(seed, cases, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53
