from __future__ import annotations

import pytest
from aiohttp import ClientError as HttpClientError
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    UnknownEndpointError,
)

from jobqueue_core.adapters.sqs.faults import admin_error, fault_behind
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.queue_admin import QueueFault


def answered(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "CreateQueue",
    )


def failed(cause: Exception) -> QueueUnavailableError:
    error = QueueUnavailableError("SQS refused it")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (answered("AWS.SimpleQueueService.NonExistentQueue"), QueueFault.MISSING),
        (answered("QueueDoesNotExist"), QueueFault.MISSING),
        (answered("AWS.SimpleQueueService.QueueDeletedRecently"), QueueFault.DELETED_RECENTLY),
        (answered("AccessDenied", 403), QueueFault.ACCESS_DENIED),
        (answered("ExpiredToken"), QueueFault.ACCESS_DENIED),
        (answered("NobodyHasHeardOfThis", 403), QueueFault.ACCESS_DENIED),
        (NoCredentialsError(), QueueFault.ACCESS_DENIED),
        (answered("RequestThrottled", 403), QueueFault.UNREACHABLE),
        (answered("InternalFailure", 500), QueueFault.UNREACHABLE),
        (answered("503", 503), QueueFault.UNREACHABLE),
        (TimeoutError(), QueueFault.UNREACHABLE),
        (ConnectionRefusedError(), QueueFault.UNREACHABLE),
        (HttpClientError(), QueueFault.UNREACHABLE),
        (EndpointConnectionError(endpoint_url="http://nowhere"), QueueFault.UNREACHABLE),
        (ReadTimeoutError(endpoint_url="http://nowhere"), QueueFault.UNREACHABLE),
        (answered("InvalidParameterValue"), QueueFault.REFUSED),
        (answered("QueueNameExists"), QueueFault.REFUSED),
        (UnknownEndpointError(service_name="sqs", region_name="moon"), QueueFault.REFUSED),
    ],
    ids=range(18),
)
def test_failures_are_sorted_by_what_helps(cause: Exception, fault: QueueFault) -> None:
    assert fault_behind(failed(cause)) is fault


def test_the_message_names_the_queue_and_what_to_do() -> None:
    error = admin_error("emails", failed(answered("QueueDeletedRecently")))
    assert (error.queue, error.fault) == ("emails", QueueFault.DELETED_RECENTLY)
    assert "'emails' was deleted less than 60 s ago" in str(error)
    denied = str(admin_error("emails", failed(answered("AccessDenied"))))
    assert "check credentials and policy: SQS refused it" in denied
