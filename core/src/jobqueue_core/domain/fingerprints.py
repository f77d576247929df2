"""Error fingerprints: the same fault of different jobs has the same one.

What tells one occurrence from another (ids, numbers, times, addresses) is taken out of the error's
text before it is digested. Too little taken out makes a group of each job, too much makes one group
of all: only what is unmistakably a value goes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobqueue_core.domain.job import JobError

FINGERPRINT = re.compile(r"[0-9a-f]{12}")
"""What a fingerprint looks like."""

_DIGITS = 12
# An error quotes the beginning of the service's answer: where that was cut depends on how long the ids in
# it are, so the end of the text tells nothing.
_COMPARED_MAX = 120
# Whatever an error says, looking for values in it takes no longer than for this many characters.
_READ_MAX = 1000

# In this order: what is larger goes first, before its parts are taken for something smaller.
_VALUES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r" \(attempt \d+ of \d+\)$"), ""),
    (re.compile(r"(\bhttps?://[^\s\"'<>?#]+)[?#][^\s\"'<>]*", re.IGNORECASE), r"\1"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]+(\.[\w-]+)+"), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    # A word of hexadecimal digits, at least one of them a number: "deadbeef" alone may be a word.
    (re.compile(r"\b(0x)?(?=[a-f]*[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    # Letters and digits mixed and long: ids of requests, keys, tokens.
    (re.compile(r"\b(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}\b"), "<id>"),
    (re.compile(r"[+-]?\d+([.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def normalised(message: str) -> str:
    """Return the text with every value in it replaced, as it is compared."""
    message = message[:_READ_MAX]
    for pattern, replacement in _VALUES:
        message = pattern.sub(replacement, message)
    return message.strip()[:_COMPARED_MAX]


def fingerprint_of(message: str, code: int | None) -> str:
    """Return the fingerprint of an error: 12 hexadecimal digits.

    Args:
        message: the error's text.
        code: the HTTP status answered, None where none was; the same text with another is another fault.

    """
    text = f"{code or '-'} {normalised(message)}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGITS]


def with_fingerprint(error: JobError) -> JobError:
    """Return the error with its fingerprint."""
    return replace(error, fingerprint=fingerprint_of(error.message, error.code))
