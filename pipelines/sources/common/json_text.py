"""JSON that others wrote: one record that nobody can store must not take its whole page with it.

    bytes of an answer -> decode -> on failure: mark what cannot be stored, decode again

PostgreSQL's jsonb refuses U+0000, half surrogate pairs and deep nesting, and a strict decoder gives up on the page for
these and for bare control characters.
What cannot be stored becomes U+0000 in a page (MARK), which `storable_text` finds in the record and shows as U+FFFD.
"""

import re
from typing import Any

import msgspec

MAX_DEPTH = 64

MARK = rb"\u0000"
_SHOWN = rb"\ufffd"

# Every escape is consumed as a whole, so a literal backslash before `u0000` is not mistaken for one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))|.)",
    re.DOTALL,
)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f]")
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """What `decoder` makes of `body`, marking what only breaks single records. Raises msgspec.DecodeError."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        shallow = _cut_deep(body, b'"' + MARK + b'"')
        marked = _replace_unstorable(_STRING.sub(lambda text: _CONTROL.sub(lambda _: MARK, text[0]), shallow), MARK)
    try:
        return decoder.decode(marked)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(type(error).__name__) from None


def storable_text(raw: bytes) -> bytes:
    """`raw` itself, or with U+FFFD in place of what PostgreSQL cannot hold: compare by identity."""
    text = raw
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        text = _cut_deep(text, b'"' + _SHOWN + b'"')
    if b"\\" in text and (rb"\u0000" in text or rb"\ud" in text or rb"\uD" in text):
        text = _replace_unstorable(text, _SHOWN)
    if not text.isascii():
        replaced = text.decode("utf-8", errors="replace").encode()
        text = text if replaced == text else replaced
    return raw if text == raw else text


def _replace_unstorable(text: bytes, by: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: by if match[1] else match[0], text)


def _cut_deep(text: bytes, by: bytes) -> bytes:
    """`text` with everything nested deeper than MAX_DEPTH replaced."""
    kept: list[bytes] = []
    depth, begin, end = 0, 0, 0
    for match in _STRUCTURE.finditer(text):
        kind = match[0][:1]
        if kind in b"[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                begin = match.start()
        elif kind in b"]}":
            if depth == MAX_DEPTH + 1:
                kept += [text[end:begin], by]
                end = match.end()
            depth -= 1
    return b"".join([*kept, text[end:]]) if kept else text
