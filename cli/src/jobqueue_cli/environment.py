"""The environment of the processes that `jobqueue up` starts. Whatever the user has set wins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_DIR = "JOBQUEUE_CONFIG_DIR"
ENVIRONMENT = "JOBQUEUE_ENV"
MONGODB_URI = "JOBQUEUE_MONGODB__URI"
PROCESSOR_URL = "JOBQUEUE_PROCESSOR__URL"
SQS_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS")

DEFAULTS_DIR = Path(__file__).with_name("defaults")

LATE_BY_SECONDS = 1.0
"""How much longer than the worker waits a late answer of the sample service takes."""
_SAMPLE_TIMEOUT_SECONDS = "2"

_BASE_FILE, _LOCAL_FILE = "application.yaml", "application.local.yaml"
_LOCAL = "local"
# The embedded queue takes any credentials. Real ones must not reach it, and it keeps what it holds by
# account and region: always the same ones, or a restart would find an empty queue.
_EMBEDDED_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "jobqueue", "AWS_SECRET_ACCESS_KEY": "jobqueue"}
_OTHER_CREDENTIALS = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the embedded parts listen, on this machine; None for a part that the user brings along."""

    database_port: int | None
    queue_port: int | None
    sample_port: int | None


def needs_database(env: Mapping[str, str]) -> bool:
    """Whether no MongoDB is named."""
    return not env.get(MONGODB_URI)


def needs_queue(env: Mapping[str, str]) -> bool:
    """Whether no endpoint of SQS is named."""
    return not any(env.get(name) for name in SQS_ENDPOINTS)


def needs_sample(env: Mapping[str, str]) -> bool:
    """Whether no external service is named."""
    return not env.get(PROCESSOR_URL)


def with_config(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment with the settings files to use.

    The files of the folder (or of `JOBQUEUE_CONFIG_DIR`), with `JOBQUEUE_ENV=local` if it has settings for
    that; the packaged ones where there are none.

    Args:
        env: The user's environment.
        folder: The folder `config` of the working directory.
    """
    named = env.get(CONFIG_DIR)
    used = Path(named) if named else folder
    found = {**env, CONFIG_DIR: str(used.resolve())} if named or (used / _BASE_FILE).is_file() else dict(env)
    if env.get(ENVIRONMENT):
        return found
    if CONFIG_DIR not in found:
        found[CONFIG_DIR] = str(DEFAULTS_DIR)
    elif (used / _LOCAL_FILE).is_file():
        found[ENVIRONMENT] = _LOCAL
    return found


def with_embedded(env: Mapping[str, str], embedded: Embedded) -> dict[str, str]:
    """Return the environment with the embedded parts, and the settings that they need."""
    added: dict[str, str] = {}
    if embedded.database_port is not None:
        # Its planner scans unless an index covers the whole guard of a write.
        added["JOBQUEUE_MONGODB__GUARD_INDEX"] = "true"
    if embedded.queue_port is not None:
        # A short long poll costs nothing here, and a worker that is told to stop ends one sooner.
        added |= {"JOBQUEUE_SQS__CREATE": "true", "JOBQUEUE_SQS__RECEIVE_WAIT_SECONDS": "1"}
    if embedded.sample_port is not None:
        added["JOBQUEUE_PROCESSOR__TIMEOUT_SECONDS"] = _SAMPLE_TIMEOUT_SECONDS
    whole = {**added, **env}
    if embedded.database_port is not None:
        whole[MONGODB_URI] = f"mongodb://127.0.0.1:{embedded.database_port}/?retryWrites=false"
    if embedded.sample_port is not None:
        whole[PROCESSOR_URL] = f"http://127.0.0.1:{embedded.sample_port}/jobs"
    return whole


def with_aws(env: Mapping[str, str], queue_port: int, *, keep_credentials: bool = False) -> dict[str, str]:
    """Return the environment in which AWS's clients find the embedded queue.

    Args:
        env: The environment.
        queue_port: Port of the embedded queue.
        keep_credentials: Leave the user's credentials and region as they are: the settings name secrets.
    """
    whole = {**env, "AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{queue_port}"}
    if not keep_credentials:
        whole = {name: value for name, value in whole.items() if name not in _OTHER_CREDENTIALS}
        whole |= _EMBEDDED_CREDENTIALS | {"AWS_REGION": _REGION, "AWS_DEFAULT_REGION": _REGION}
    return whole
