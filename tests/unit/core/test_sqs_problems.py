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

from jobqueue_core.adapters.sqs.problems import admin_error, problem_of
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.queue_admin import QueueProblem


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
    ("cause", "problem"),
    [
        (answered("AWS.SimpleQueueService.NonExistentQueue"), QueueProblem.MISSING),
        (answered("QueueDoesNotExist"), QueueProblem.MISSING),
        (answered("AWS.SimpleQueueService.QueueDeletedRecently"), QueueProblem.DELETED_RECENTLY),
        (answered("AccessDenied", 403), QueueProblem.DENIED),
        (answered("ExpiredToken"), QueueProblem.DENIED),
        (answered("NobodyHasHeardOfThis", 403), QueueProblem.DENIED),
        (NoCredentialsError(), QueueProblem.DENIED),
        (answered("RequestThrottled", 403), QueueProblem.THROTTLED),
        (answered("InternalFailure", 500), QueueProblem.UNREACHABLE),
        (answered("503", 503), QueueProblem.UNREACHABLE),
        (TimeoutError(), QueueProblem.UNREACHABLE),
        (ConnectionRefusedError(), QueueProblem.UNREACHABLE),
        (HttpClientError(), QueueProblem.UNREACHABLE),
        (EndpointConnectionError(endpoint_url="http://nowhere"), QueueProblem.UNREACHABLE),
        (ReadTimeoutError(endpoint_url="http://nowhere"), QueueProblem.UNREACHABLE),
        (answered("InvalidParameterValue"), QueueProblem.REFUSED),
        (answered("QueueNameExists"), QueueProblem.REFUSED),
        (UnknownEndpointError(service_name="sqs", region_name="moon"), QueueProblem.REFUSED),
    ],
    ids=range(18),
)
def test_failures_are_sorted_by_what_helps(cause: Exception, problem: QueueProblem) -> None:
    assert problem_of(failed(cause)) is problem


def test_the_message_names_the_queue_and_what_to_do() -> None:
    error = admin_error("emails", failed(answered("QueueDeletedRecently")))
    assert (error.queue, error.problem) == ("emails", QueueProblem.DELETED_RECENTLY)
    assert "'emails' was deleted less than 60 s ago" in str(error)
    denied = str(admin_error("emails", failed(answered("AccessDenied"))))
    assert "check credentials and policy: SQS refused it" in denied
