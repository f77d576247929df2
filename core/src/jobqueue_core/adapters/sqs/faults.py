"""Why SQS did not do what it was asked for: the client's errors, sorted by what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from jobqueue_core.adapters.sqs.client import error_code
from jobqueue_core.ports.queue_admin import QueueAdminError, QueueFault

if TYPE_CHECKING:
    from jobqueue_core.domain.errors import QueueUnavailableError

_BY_CODE = {
    **dict.fromkeys(("NonExistentQueue", "QueueDoesNotExist"), QueueFault.MISSING),
    "QueueDeletedRecently": QueueFault.DELETED_RECENTLY,
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "KmsAccessDenied",
            "MissingAuthenticationToken",
            "OptInRequired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        QueueFault.ACCESS_DENIED,
    ),
    **dict.fromkeys(
        ("OverLimit", "RequestThrottled", "Throttling", "ThrottlingException"), QueueFault.UNREACHABLE
    ),
}
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
_NO_CONNECTION = (HTTPClientError, NoConnectionError)
_FORBIDDEN = (401, 403)
_SERVER_ERROR = 500


def fault_behind(error: QueueUnavailableError) -> QueueFault:
    """Return what kind of failure a refused call was."""
    cause = error.__cause__
    if isinstance(cause, _NO_CREDENTIALS):
        return QueueFault.ACCESS_DENIED
    if not isinstance(cause, ClientError):
        # Time-outs, connections that are refused, names that do not resolve. What else botocore
        # raises by itself is a mistake in the settings (an unknown region, an endpoint that is none).
        is_setting = isinstance(cause, BotoCoreError) and not isinstance(cause, _NO_CONNECTION)
        return QueueFault.REFUSED if is_setting else QueueFault.UNREACHABLE
    by_code = _BY_CODE.get(error_code(error) or "")
    if by_code is not None:
        return by_code
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in _FORBIDDEN:
        return QueueFault.ACCESS_DENIED
    return QueueFault.UNREACHABLE if status >= _SERVER_ERROR else QueueFault.REFUSED


def admin_error(queue: str, error: QueueUnavailableError) -> QueueAdminError:
    """Return the error that names the queue and what can be done."""
    fault = fault_behind(error)
    if fault is QueueFault.MISSING:
        text = f"the queue {queue!r} does not exist, or these credentials may not see it"
    elif fault is QueueFault.DELETED_RECENTLY:
        text = f"the queue {queue!r} was deleted less than 60 s ago; SQS lets it be created again after that"
    elif fault is QueueFault.ACCESS_DENIED:
        text = f"AWS does not allow it on the queue {queue!r}; check credentials and policy: {error}"
    else:
        text = f"the queue {queue!r}: {error}"
    return QueueAdminError(text, queue=queue, fault=fault)
