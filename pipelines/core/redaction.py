"""The one place that removes secrets and personal data from text that leaves the process.

Two layers: patterns (query keys, bearer tokens, passwords in URLs, JSON secrets, e-mail addresses, VPAs, phones)
and the literal secrets of this process, registered once they are known.
"""

import json
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"

_SECRET_NAME = r"(?:api[_-]?key|token|secret|passw(?:or)?d|pwd|authorization|cookie)"  # noqa: S105 - a pattern
# Bounded repeats keep the search linear, whatever the text.

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # name=value, as in queries and connection strings
    (
        re.compile(rf"(?i)([\w.-]{{0,40}}{_SECRET_NAME}[\w.-]{{0,40}})=(?:\"[^\"]*\"|'[^']*'|[^&\s\"'<>]+)"),
        rf"\1={MASK}",
    ),
    # "name": "value", as in JSON (also JSON within JSON) and dictionaries
    (
        re.compile(
            rf"(?i)((\\?[\"'])[\w.-]{{0,40}}{_SECRET_NAME}[\w.-]{{0,40}}\2\s*:\s*)(\\?[\"'])(?:(?!\3)(?:\\.|[^\\]))*"
        ),
        rf"\1\3{MASK}",
    ),
    # header lines
    (re.compile(r"(?i)\b(authorization|x-api-key|(?:set-)?cookie):[ \t]*[^\r\n]+"), rf"\1: {MASK}"),
    (re.compile(r"(?i)\b(bearer)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    # A digit, `=` or an inner capital tells a credential from an English word.
    (re.compile(r"\b((?i:basic))\s+(?=[A-Za-z+/]{0,40}(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/=]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(\w{1,32}://[^:/@\s]{0,64}):[^@\s/]+@"), rf"\1:{MASK}@"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*"), MASK),
    (re.compile(r"\+\d{10,15}\b"), MASK),
)

_literals: set[str] = set()


def register_secrets(secrets: Iterable[str | None]) -> None:
    """Remember literal secrets of this process so that they are masked wherever and however written they turn up."""
    for secret in secrets:
        # Very short values would blank out ordinary words.
        if secret and len(secret) >= 6:
            _literals.update((secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]))


def redact(text: str) -> str:
    """`text` without secrets and personal data. Idempotent."""
    for literal in sorted(_literals, key=len, reverse=True):
        text = text.replace(literal, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Logging filter that rewrites message and arguments; attach it to handlers, not loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            # A log call whose arguments do not fit: the handler itself reports it.
            return True
        record.msg, record.args = redact(text), ()
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
