"""The environment of the product's processes: short times, and servers behind the proxies."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from jobqueue_chaos.profile import (
    DRAIN_SECONDS,
    MAX_ATTEMPTS,
    MAX_DEATHS,
    ORDERED,
    PROCESSOR_TIMEOUT_SECONDS,
    RELAY_GRACE_SECONDS,
    RELAY_LOST_AFTER_SECONDS,
    SCHEDULE,
    SQS_NAMES,
    STANDARD,
    VISIBILITY_SECONDS,
)
from jobqueue_chaos.servers import REGION
from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from pathlib import Path

_OTHER_PROGRAMS = ("JOBQUEUE_", "AWS_")


def product_environment(
    folder: Path, *, mongo_port: int, database: str, sqs_url: str, processor_url: str, max_receive_count: int
) -> dict[str, str]:
    """Return the environment of every process; the folder takes the (empty) configuration file."""
    (folder / "application.yaml").write_text("{}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHER_PROGRAMS)}
    schedule = f"JOBQUEUE_SCHEDULES__{SCHEDULE.upper()}"
    return {
        **kept,
        "PYTHONUNBUFFERED": "1",
        "AWS_ENDPOINT_URL_SQS": sqs_url,
        "AWS_ACCESS_KEY_ID": "chaos",
        "AWS_SECRET_ACCESS_KEY": "chaos",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "JOBQUEUE_CONFIG_DIR": str(folder),
        # Direct: the server would otherwise name itself as the member to talk to, past the proxy.
        "JOBQUEUE_MONGODB__URI": f"mongodb://{HOST}:{mongo_port}/?retryWrites=false&directConnection=true",
        "JOBQUEUE_MONGODB__DATABASE": database,
        "JOBQUEUE_MONGODB__GUARD_INDEX": "true",
        "JOBQUEUE_MONGODB__TIMEOUT_SECONDS": "2",
        "JOBQUEUE_SQS__QUEUE_NAME": SQS_NAMES[STANDARD],
        f"JOBQUEUE_QUEUES__{ORDERED.upper()}__SQS__QUEUE_NAME": SQS_NAMES[ORDERED],
        "JOBQUEUE_SQS__VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
        "JOBQUEUE_SQS__RECEIVE_WAIT_SECONDS": "1",
        "JOBQUEUE_SQS__DEAD_LETTER__MAX_RECEIVE_COUNT": str(max_receive_count),
        "JOBQUEUE_PROCESSOR__URL": processor_url,
        "JOBQUEUE_PROCESSOR__TIMEOUT_SECONDS": str(PROCESSOR_TIMEOUT_SECONDS),
        "JOBQUEUE_RETRY__MAX_ATTEMPTS": str(MAX_ATTEMPTS),
        "JOBQUEUE_RETRY__MAX_DEATHS": str(MAX_DEATHS),
        # A job each minute, whatever is away at that time.
        f"{schedule}__CRON": "* * * * *",
        f"{schedule}__MISSED": "all",
        f"{schedule}__PAYLOAD": json.dumps({"runs": [["ok"]]}),
        "JOBQUEUE_RETRY__BACKOFF__INITIAL_SECONDS": "0.2",
        "JOBQUEUE_RETRY__BACKOFF__MAX_SECONDS": "2",
        "JOBQUEUE_WORKER__CONCURRENCY": "10",
        "JOBQUEUE_WORKER__DRAIN_SECONDS": str(DRAIN_SECONDS),
        "JOBQUEUE_WORKER__HEARTBEAT_SECONDS": "1",
        "JOBQUEUE_WORKER__METRICS_PORT": "0",
        "JOBQUEUE_RELAY__GRACE_SECONDS": str(RELAY_GRACE_SECONDS),
        "JOBQUEUE_RELAY__POLL_SECONDS": "0.3",
        "JOBQUEUE_RELAY__LOST_AFTER_SECONDS": str(RELAY_LOST_AFTER_SECONDS),
    }
