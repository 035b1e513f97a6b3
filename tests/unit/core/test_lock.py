"""The lock: every package by one version and its hashes, and nothing that would send pip elsewhere."""

import re
from pathlib import Path

LINES = (Path(__file__).parents[3] / "requirements.lock").read_text(encoding="utf-8").splitlines()
PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;\[]+( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def test_every_line_is_a_pinned_package_or_a_hash() -> None:
    # `name[extra]==1.0` is no pin of `name` to pip: it takes the newest release, and refuses that for want of a hash.
    odd = [
        line
        for line in LINES
        if not line.lstrip().startswith("#") and not (PINNED.fullmatch(line) or HASH.fullmatch(line))
    ]
    assert odd == []


def test_every_package_has_a_hash() -> None:
    packages = [place for place, line in enumerate(LINES) if PINNED.fullmatch(line)]
    assert len(packages) > 100
    assert all(HASH.fullmatch(LINES[place + 1]) for place in packages)
