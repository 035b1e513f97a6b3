"""The one place that removes secrets and personal data from text that leaves the process.

Two layers: patterns (query keys, bearer tokens, passwords in URLs, JSON secrets, e-mail addresses, VPAs, phones)
and the literal secrets of this process, registered once they are known.
"""

import logging
import re
from collections.abc import Iterable

MASK = "***"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?i)\b(apikey|api_key|api-key|token|secret|password|passwd|pwd)=[^&\s\"'<>]+"),
        rf"\1={MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)(\w+://[^:/@\s]+):[^@\s/]+@"), rf"\1:{MASK}@"),
    (
        re.compile(
            r"(?i)([\"'](?:password|token|refreshToken|secretKey|apikey|authorization|x-api-key)[\"']\s*:\s*[\"'])"
            r"[^\"']*"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\b"), MASK),
    (re.compile(r"\+\d{10,15}\b"), MASK),
)

_literals: set[str] = set()


def register_secrets(secrets: Iterable[str | None]) -> None:
    """Remember literal secrets of this process so that they are masked wherever they turn up."""
    # Very short values would blank out ordinary words.
    _literals.update(secret for secret in secrets if secret and len(secret) >= 6)


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
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
