"""A real API server, and the operator as a process against it."""

from __future__ import annotations

import json
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_testsupport.kube.audit import AuditLog
from jobqueue_testsupport.kube.cluster import open_cluster
from jobqueue_testsupport.kube.operator_process import OperatorProcess
from jobqueue_testsupport.kube.sqs import Sqs
from jobqueue_testsupport.kube.world import World, create_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from jobqueue_testsupport.kube.cluster import Cluster
    from jobqueue_testsupport.kube.control_plane import ControlPlane
    from jobqueue_testsupport.kube.operator_process import StartOperator
    from jobqueue_testsupport.report import BackendReport

CRD = Path(__file__).parents[2] / "charts" / "jobqueue" / "files" / "jobqueues.jobqueue.dev.yaml"
# How much of an operator's log is shown when a test fails, and of each line: a traceback is one line.
LINES_SHOWN, LINE_SHOWN = 100, 1_500


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, backends: BackendReport) -> Iterator[Cluster]:
    """The API server of this run, with the CRD."""
    with open_cluster(tmp_path_factory.mktemp("kube")) as opened:
        backends.used["Kubernetes"] = opened.origin
        opened.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
        opened.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", str(CRD))
        yield opened


@pytest.fixture(scope="session")
def control_plane(cluster: Cluster, backends: BackendReport) -> ControlPlane:
    """The servers behind the cluster, to be stopped or to have their audit log read."""
    if cluster.control_plane is None:
        backends.skip("outages and counts of requests", f"the API server is another's ({cluster.origin})")
    return cluster.control_plane


@pytest.fixture
def audit(control_plane: ControlPlane) -> AuditLog:
    """The requests to the API server from now on."""
    return AuditLog(control_plane.apiserver.audit_log)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that nobody has used."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    create_namespace(cluster, name)
    yield name
    if cluster.control_plane is None:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def queue(numbers: Iterator[int]) -> str:
    """Name of a JobQueue, which is also that of its queue in SQS and of its target; nobody has used it."""
    return f"emails-{uuid.uuid4().hex[:6]}-{next(numbers)}"


@pytest.fixture
async def world(
    cluster: Cluster,
    namespace: str,
    aws_env: str,
    embedded_mongo_uri: str,
    mongo_database: str,
) -> AsyncIterator[World]:
    """The namespace, its queues and its store."""
    store = MongoJobStore(open_driver("pymongo", embedded_mongo_uri, mongo_database))
    await store.prepare()
    with Sqs(aws_env) as sqs:
        made = World(cluster, namespace, sqs, store)
        yield made
        made.clear()
    await store.close()


@pytest.fixture
def start_operator(
    cluster: Cluster,
    namespace: str,
    aws_env: str,
    embedded_mongo_uri: str,
    mongo_database: str,
    tmp_path: Path,
) -> Iterator[StartOperator]:
    """Start operators that look after the test's namespace; their logs are shown when the test fails."""
    configuration = tmp_path / "config"
    configuration.mkdir()
    (configuration / "application.yaml").write_text("{}")
    base = {
        "AWS_ENDPOINT_URL": aws_env,
        "JOBQUEUE_CONFIG_DIR": str(configuration),
        "JOBQUEUE_LOGGING__LEVEL": "info",
        "JOBQUEUE_MONGODB__URI": embedded_mongo_uri,
        "JOBQUEUE_MONGODB__DATABASE": mongo_database,
        "JOBQUEUE_OPERATOR__NAMESPACES": json.dumps([namespace]),
        "POD_NAMESPACE": namespace,
    }
    started: list[OperatorProcess] = []
    with ExitStack() as stack:

        def start(kubeconfig: Path | None = None, **environment: str) -> OperatorProcess:
            reached = {"KUBECONFIG": str(kubeconfig or cluster.kubeconfig)}
            folder = tmp_path / f"operator-{len(started)}"
            process = OperatorProcess(folder, {**base, **reached, **environment})
            started.append(process)
            stack.callback(process.kill)
            process.start()
            return process

        yield start
        for process in started:
            lines = process.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
            sys.stdout.write(
                "\n".join((f"─── {process.folder.name}", *(line[:LINE_SHOWN] for line in lines), ""))
            )


@pytest.fixture
def operator(start_operator: StartOperator, world: World) -> OperatorProcess:
    """Start an operator for the test's namespace."""
    del world
    return start_operator()
