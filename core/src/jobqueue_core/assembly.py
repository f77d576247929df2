"""From settings to the parts that every process is put together from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.domain.retry import RetryPolicy
from jobqueue_core.domain.transitions import JobRules, Retention

if TYPE_CHECKING:
    from jobqueue_core.adapters.mongo.drivers import Driver
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings

_TOKEN_BYTES = 12


def new_token() -> str:
    """Return a fencing token: 96 random bits, so that no two writes ever share one."""
    return os.urandom(_TOKEN_BYTES).hex()


def open_store(settings: Settings) -> MongoJobStore:
    """Return the job store, which closes its driver; it connects at its first operation."""
    return job_store(settings, open_database(settings))


def job_store(settings: Settings, driver: Driver) -> MongoJobStore:
    """Return the job store on a driver that others may share; closing the store closes it."""
    return MongoJobStore(driver, guard_index=settings.mongodb.guard_index)


def open_database(settings: Settings) -> Driver:
    """Return the driver that every store of a process shares; it connects at its first operation."""
    mongodb = settings.mongodb
    return open_driver(
        mongodb.driver,
        mongodb.uri.get_secret_value(),
        mongodb.database,
        timeout_seconds=mongodb.timeout_seconds,
        max_pool_size=mongodb.max_pool_size,
    )


def queue_plan(queue: QueueSettings) -> QueuePlan:
    """Return what the SQS queues of a queue shall be."""
    return QueuePlan(
        name=queue.sqs.queue_name,
        url=queue.sqs.queue_url,
        dead_letter_name=queue.sqs.dead_letter_queue_name,
        visibility_timeout_seconds=queue.sqs.visibility_timeout_seconds,
        max_receive_count=queue.sqs.max_receive_count,
        create=queue.sqs.create,
    )


def job_rules(settings: Settings, queue: QueueSettings) -> JobRules:
    """Return what the steps of a queue's jobs depend on."""
    retry, backoff, retention = queue.retry, queue.retry.backoff, queue.retention
    return JobRules(
        retry=RetryPolicy(
            max_attempts=retry.max_attempts,
            initial_seconds=backoff.initial_seconds,
            max_seconds=backoff.max_seconds,
            factor=backoff.factor,
            retry_after_max_seconds=retry.retry_after_max_seconds,
        ),
        retention=Retention(
            succeeded_seconds=retention.succeeded_seconds,
            failed_seconds=retention.failed_seconds,
            cancelled_seconds=retention.cancelled_seconds,
        ),
        fifo=queue.sqs.fifo,
        relay_grace_seconds=settings.relay.grace_seconds,
    )
