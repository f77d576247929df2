"""The fixtures of every tier. Servers start when first asked for, and end with the run."""

from __future__ import annotations

import gc
import os
import uuid
import warnings
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from pymongo import MongoClient

from jobqueue_core.testing.clock import settle
from jobqueue_testsupport.factories import JobFactory
from jobqueue_testsupport.report import REPORT, BackendReport
from jobqueue_testsupport.server import EmbeddedMongo, EmbeddedServer, EmbeddedSqs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Protocol

    class _Node(Protocol):
        """A process of pytest-xdist, as seen from the first one."""

        config: pytest.Config


MONGO_VARIABLE = "JOBQUEUE_TEST_MONGO_URI"
AWS_VARIABLE = "AWS_ENDPOINT_URL"
REGION = "eu-central-1"
_AWS_UNSET = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)

# The same examples every time: a run that fails, fails again.
settings.register_profile("jobqueue", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("jobqueue")


def pytest_configure(config: pytest.Config) -> None:
    """Begin the report."""
    config.stash[REPORT] = BackendReport()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where pytest-xdist shares out the tests: hand the report of this process to the first one."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        report = session.config.stash[REPORT]
        output["backends"] = (report.used, report.not_run)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: _Node) -> None:
    """Take the report of a process that has ended."""
    used, not_run = getattr(node, "workeroutput", {}).get("backends", ({}, {}))
    report = node.config.stash[REPORT]
    report.used |= used
    report.not_run |= not_run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers stood behind the tests, and what was not run."""
    lines = config.stash[REPORT].lines()
    if lines:
        terminalreporter.section("backends")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def backends(pytestconfig: pytest.Config) -> BackendReport:
    """The report of servers used and checks not run."""
    return pytestconfig.stash[REPORT]


def _serve(server: EmbeddedServer) -> Iterator[str]:
    with server:
        yield server.url


@pytest.fixture(scope="session")
def embedded_mongo_uri(
    tmp_path_factory: pytest.TempPathFactory, mongo_prefix: str, backends: BackendReport
) -> Iterator[str]:
    """URI of the MongoDB given by JOBQUEUE_TEST_MONGO_URI, or of one started for this run."""
    given = os.environ.get(MONGO_VARIABLE)
    if given is None:
        backends.used["MongoDB"] = "embedded secantusd-rs"
        yield from _serve(EmbeddedMongo(tmp_path_factory.mktemp("mongo")))
        return
    backends.used["MongoDB"] = f"given by {MONGO_VARIABLE}"
    yield given
    with MongoClient[dict[str, object]](given) as client:
        for name in client.list_database_names():
            if name.startswith(mongo_prefix):
                client.drop_database(name)


@pytest.fixture(scope="session")
def mongo_is_embedded(embedded_mongo_uri: str) -> bool:
    """Whether the MongoDB behind the tests is the embedded one, with its weaker planner."""
    with MongoClient[dict[str, object]](embedded_mongo_uri) as client:
        return "secantusVersion" in client.admin.command("buildInfo")


@pytest.fixture(scope="session")
def mongo_prefix() -> str:
    """How the names of this run's databases begin."""
    return f"jobqueue_test_{uuid.uuid4().hex[:8]}_"


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers that no two tests of a run share."""
    return count(1)


@pytest.fixture
def mongo_database(mongo_prefix: str, numbers: Iterator[int]) -> str:
    """Name of a database that nobody has used."""
    return f"{mongo_prefix}{next(numbers)}"


@pytest.fixture
async def outage_sockets() -> AsyncIterator[None]:
    """Collect the sockets that PyMongo leaves behind, for tests whose database is away.

    Its asyncio client leaves a socket to the garbage collector when it is closed while a monitor is
    just connecting (`pymongo.pool_shared._async_create_connection` closes on OSError, not when
    cancelled). Unless collected here, the ResourceWarning fails whichever test comes later.
    """
    yield
    await settle()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def embedded_sqs_endpoint(tmp_path_factory: pytest.TempPathFactory, backends: BackendReport) -> Iterator[str]:
    """Endpoint given by AWS_ENDPOINT_URL (LocalStack, …), or of a server started for this run."""
    given = os.environ.get(AWS_VARIABLE)
    if given is not None:
        backends.used["SQS"] = f"given by {AWS_VARIABLE}"
        yield given
        return
    backends.used["SQS"] = "embedded ministack"
    yield from _serve(EmbeddedSqs(tmp_path_factory.mktemp("sqs")))


@pytest.fixture(scope="session")
def moto_endpoint(backends: BackendReport) -> Iterator[str]:
    """Endpoint of moto's server, in a thread of this process."""
    # Imported here: it takes a second, which most runs of some tests need not wait.
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    backends.used["AWS"] = "moto"
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def queue_name(numbers: Iterator[int]) -> str:
    """Name of an SQS queue that nobody has used."""
    return f"test-{uuid.uuid4().hex[:8]}-{next(numbers)}"


@pytest.fixture
def use_aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Point this process at an endpoint, as users do: by AWS's own variables, with made-up credentials."""

    def use(endpoint: str) -> None:
        for name in _AWS_UNSET:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(AWS_VARIABLE, endpoint)
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)

    return use


@pytest.fixture
def aws_env(use_aws: Callable[[str], None], embedded_sqs_endpoint: str) -> str:
    """Point this process at the embedded (or given) SQS; return its endpoint."""
    use_aws(embedded_sqs_endpoint)
    return embedded_sqs_endpoint


@pytest.fixture
def job_factory() -> JobFactory:
    """Make jobs with rising ids, in any phase."""
    return JobFactory()
