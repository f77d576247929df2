"""The kinds of values that settings hold, with the rule and the words for each."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

FIFO_SUFFIX = ".fifo"
SQS_NAME_MAX = 80

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
_SQS_NAME = re.compile(r"[A-Za-z0-9_-]+(\.fifo)?\Z")
_DATABASE_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

# The worker writes these itself: a second one would contradict the job it carries or break the request.
RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "traceparent",
        "transfer-encoding",
        "x-job-attempt",
    }
)

SECRET = "secret"  # noqa: S105  (a word, no password)
"""Key of `json_schema_extra`: the field is plain text and yet never shown (`SecretStr` needs no mark)."""
FORM = "form"
"""Key of `json_schema_extra`: how a section is written that is one setting to its reader."""


class Section(BaseModel):
    """A group of settings: immutable, without unknown keys, and without values in its error messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def broken(rule: str) -> PydanticCustomError:
    """Return the error of a value that breaks a rule, said as what the value must be."""
    # The text is given as context: as a template its braces would be read as fields.
    return PydanticCustomError("setting", "{rule}", {"rule": rule})


def _queue_name(name: str) -> str:
    if not _QUEUE_NAME.match(name):
        raise broken("must be 1 to 80 letters, digits, - and _")
    return name


def _sqs_name(name: str) -> str:
    if len(name) > SQS_NAME_MAX or not _SQS_NAME.match(name):
        raise broken(
            "must be a queue name of SQS: 1 to 80 letters, digits, - and _, with .fifo at the end or not"
        )
    return name


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"[\s\x00-\x1f]", url)


def _http_url(url: str) -> str:
    if not _is_http_url(url):
        raise broken("must be an http:// or https:// URL with a host")
    if "@" in urlsplit(url).netloc:
        raise broken("must not hold a user or password: use headers or headers_from")
    return url


def _queue_url(url: str) -> str:
    if not _is_http_url(url) or not _SQS_NAME.match(url.rsplit("/", 1)[-1]):
        raise broken("must be the http:// or https:// URL of an SQS queue, which ends in the queue's name")
    return url


def _database_name(name: str) -> str:
    if not _DATABASE_NAME.match(name):
        raise broken("must be 1 to 63 letters, digits, - and _")
    return name


def _mongodb_uri(uri: SecretStr) -> SecretStr:
    if not re.match(r"mongodb(\+srv)?://[^/\s]", uri.get_secret_value()):
        raise broken("must begin with mongodb:// or mongodb+srv:// and name a host")
    return uri


def _header_name(name: str) -> str:
    if not _HEADER_NAME.match(name):
        raise broken("must be the name of an HTTP header (RFC 9110, token)")
    if name.lower() in RESERVED_HEADERS:
        raise broken("must not be a header that the worker sets itself")
    return name


def _header_value(value: SecretStr) -> SecretStr:
    if re.search(r"[\r\n\x00]", value.get_secret_value()):
        raise broken("must be one line of text")
    return value


def _env_name(name: str) -> str:
    if not _ENV_NAME.match(name):
        raise broken("must be the name of an environment variable")
    return name


def _sha256(digest: str) -> str:
    if not _SHA256.match(digest.lower()):
        raise broken("must be 64 hexadecimal digits, the SHA-256 of the key")
    return digest.lower()


QueueName = Annotated[str, AfterValidator(_queue_name)]
"""The name of a queue in requests, metrics and settings."""
SqsQueueName = Annotated[str, AfterValidator(_sqs_name)]
"""The name of a queue in SQS (quota of SQS: 80 characters, the suffix included)."""
HttpUrl = Annotated[str, AfterValidator(_http_url)]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
DatabaseName = Annotated[str, AfterValidator(_database_name)]
MongodbUri = Annotated[SecretStr, AfterValidator(_mongodb_uri)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]
EnvName = Annotated[str, AfterValidator(_env_name)]
Sha256Hex = Annotated[str, AfterValidator(_sha256)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Port = Annotated[int, Field(ge=0, le=65535)]
