"""One installation, from `helm install` to `helm uninstall`. The tests are its chapters, in order."""

from __future__ import annotations

import json
import statistics
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobqueue_testsupport.kube.eventually import eventually
from jobqueue_testsupport.kube_e2e.leftovers import leftovers
from jobqueue_testsupport.kube_e2e.load import Load
from jobqueue_testsupport.kube_e2e.objects import (
    API_URL,
    CHART_WORKER,
    JOBQUEUE,
    chart_values,
    jobqueue,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from jobqueue_testsupport.kube_e2e.system import System

JOBS = 200
MOST_WORKERS = 4
JOB_SECONDS = 0.4
LONG_JOBS = 2
LONG_SECONDS = 20.0
SAMPLES = 7
GOAL_SECONDS = 3.0
SOON_SECONDS = 15.0
TEMPLATED = "reports"
SIGTERM_WHILE_STARTING = 143
CRD = "customresourcedefinitions/jobqueues.jobqueue.dev"


async def ready(system: System, name: str) -> None:
    """Wait until a JobQueue says that queue and workers are as its spec says."""

    def is_ready() -> None:
        conditions = system.jobqueue(name).get("status", {}).get("conditions", [])
        assert {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in conditions}.items(), conditions

    await eventually(is_ready, within=30)


def change(system: System, scaling: dict[str, Any]) -> None:
    """Change the section `scaling` of the JobQueue."""
    patch = json.dumps({"spec": {"scaling": scaling}})
    system.release.kubectl("patch", "jobqueue", JOBQUEUE, "--type=merge", "-p", patch)


def assert_each_called_once(system: System, jobs: Sequence[dict[str, Any]]) -> None:
    """Each job succeeded with its first call, and no call was broken off by a pod that went away."""
    job_ids = [job["id"] for job in jobs]
    assert {job["status"] for job in jobs} == {"SUCCESS"}
    assert {job["numberOfAttempts"] for job in jobs} == {1}
    calls = system.beside.recorder.calls_of(job_ids)
    assert calls.lost == []
    assert dict(calls.begun) == dict.fromkeys(job_ids, 1)
    assert dict(calls.answered) == dict.fromkeys(job_ids, 1)


def assert_no_worker_was_killed(system: System, deployment: str) -> None:
    """Every pod that began and is gone ended by itself: 137 would be SIGKILL, and a restart a crash."""
    ended = [pod for pod in system.workers(deployment) if pod.deleted and pod.started_at is not None]
    killed = [pod for pod in ended if pod.exit_code not in {0, SIGTERM_WHILE_STARTING} or pod.restarts]
    assert ended
    assert killed == []


async def test_an_applied_jobqueue_becomes_ready_without_a_worker(system: System) -> None:
    assert system.replicas(CHART_WORKER) == 0
    system.release.apply(jobqueue(JOBQUEUE, system.beside, {"scaleTargetRef": {"name": CHART_WORKER}}))
    await ready(system, JOBQUEUE)

    settings = json.loads(system.release.kubectl("get", "configmap", f"{JOBQUEUE}-settings", "-o", "json"))
    assert settings["data"]["JOBQUEUE_PROCESSOR__URL"] == system.beside.processor_url
    assert system.replicas(CHART_WORKER) == 0


async def test_workers_come_for_two_hundred_jobs_and_go_when_all_is_done(system: System) -> None:
    payloads = [{"seconds": LONG_SECONDS}] * LONG_JOBS + [{"seconds": JOB_SECONDS}] * (JOBS - LONG_JOBS)
    asked = [system.replicas(CHART_WORKER)]
    began = time.monotonic()

    def look() -> None:
        now = system.replicas(CHART_WORKER)
        if now != asked[-1]:
            asked.append(now)
        assert len(asked) > 1
        assert now == 0

    with system.user() as user:
        job_ids = user.add_jobs(payloads)
        await eventually(look, within=120)
        to_zero = time.monotonic() - began
        jobs = user.wait_final(job_ids, seconds=10)
    system.wait_no_worker(CHART_WORKER, seconds=60)

    assert asked[0] == 0
    assert max(asked) == MOST_WORKERS
    assert_each_called_once(system, jobs)
    assert_no_worker_was_killed(system, CHART_WORKER)
    done = max(datetime.fromisoformat(job["finishedAt"]) for job in jobs)
    first = min(datetime.fromisoformat(job["createdAt"]) for job in jobs)
    system.figures.append(
        f"{JOBS} jobs ({LONG_JOBS} of {LONG_SECONDS:g} s, the others of {JOB_SECONDS:g} s): "
        f"all done after {(done - first).total_seconds():.1f} s, replicas {' → '.join(map(str, asked))} "
        f"within {to_zero:.1f} s"
    )
    assert min(now for now in asked[1:-1]) >= LONG_JOBS - 1  # what is asked for is never below the busy ones


async def test_the_first_job_is_done_soon_after_it_was_posted_to_no_workers(system: System) -> None:
    soon = {"scaleDown": {"stabilizationSeconds": 0}, "zeroAfterSeconds": 1}
    change(system, soon)
    totals, decisions, starts = [], [], []
    with system.user() as user:
        for _ in range(SAMPLES):
            system.wait_no_worker(CHART_WORKER, seconds=60)
            posted_at, posted = datetime.now(UTC), time.monotonic()
            job_id = user.add_job({})
            totals.append(system.beside.recorder.wait_answered(job_id, seconds=60) - posted)
            scaled_at = decided_at(system)
            decisions.append((scaled_at - posted_at).total_seconds())
            starts.append((worker_started_at(system) - scaled_at).total_seconds())
            user.wait_final([job_id], seconds=10)

    system.figures.append(
        f"job posted → first job done, from zero, image present: p50 {statistics.median(totals):.2f} s, "
        f"worst {max(totals):.2f} s of {SAMPLES} (posted → scale written p50 "
        f"{statistics.median(decisions):.3f} s, → worker receives {statistics.median(starts):.2f} s)"
    )
    assert statistics.median(totals) <= GOAL_SECONDS


def decided_at(system: System) -> datetime:
    """Return when the operator last decided to start workers, by its log: the status has whole seconds."""
    selector = f"app.kubernetes.io/component=operator,app.kubernetes.io/instance={system.release.name}"
    said = system.release.kubectl("logs", "-l", selector, "--tail=20", "--since=60s")
    lines = [json.loads(line) for line in said.splitlines()]
    decisions = [line for line in lines if line["event"] == "scale_decision" and line["replicas_from"] == 0]
    return max(datetime.fromisoformat(line["time"]) for line in decisions)


def worker_started_at(system: System) -> datetime:
    """Return when the newest worker began to receive, by its own log."""
    pod = system.workers(CHART_WORKER)[-1]
    lines = map(json.loads, system.release.kubectl("logs", pod.name).splitlines())
    return next(datetime.fromisoformat(line["time"]) for line in lines if line["event"] == "worker started")


async def test_a_worker_that_is_taken_back_while_it_starts_ends_at_once(system: System) -> None:
    system.wait_no_worker(CHART_WORKER, seconds=60)
    before = {pod.name for pod in system.workers(CHART_WORKER)}
    change(system, {"minReplicas": 1})
    starting = system.pods.wait(
        lambda: [pod for pod in system.workers(CHART_WORKER) if pod.name not in before and pod.started_at],
        "a worker starts",
        seconds=30,
    )[0]
    began = time.monotonic()
    change(system, {"minReplicas": 0})
    system.release.kubectl("delete", "pod", starting.name, "--timeout=30s")
    took = time.monotonic() - began

    assert took < SOON_SECONDS, f"{took:.1f} s: it was killed at the end of its grace period"
    system.wait_no_worker(CHART_WORKER, seconds=60)
    assert_no_worker_was_killed(system, CHART_WORKER)


async def test_an_upgrade_under_load_loses_nothing(system: System) -> None:
    busy = {"minReplicas": 2, "zeroAfterSeconds": 5}
    change(system, busy)
    before = {pod.name for pod in system.pods.all() if not pod.deleted}
    load = Load(system.release, API_URL, {"seconds": 0.5}, period=0.1)
    load.start()
    began = time.monotonic()
    system.release.upgrade(chart_values(system.beside, log_level="debug"))
    took = time.monotonic() - began
    submitted = load.stop()

    assert submitted.errors == []
    assert len(submitted.job_ids) > 10
    with system.user() as user:
        jobs = user.wait_final(submitted.job_ids, seconds=60)
    assert_each_called_once(system, jobs)
    idle = {"minReplicas": 0}
    change(system, idle)
    system.wait_no_worker(CHART_WORKER, seconds=90)
    assert_no_worker_was_killed(system, CHART_WORKER)
    assert {pod.name for pod in system.pods.all() if not pod.deleted} & before == set()
    system.figures.append(
        f"helm upgrade --wait of every part under load: {took:.1f} s, {len(jobs)} jobs submitted meanwhile, "
        "none refused, each called once"
    )


async def test_helm_test_passes(system: System) -> None:
    began = time.monotonic()
    said = system.release.test()
    assert "Succeeded" in said
    system.figures.append(f"helm test: {time.monotonic() - began:.1f} s")


async def test_a_jobqueue_with_a_template_gets_workers_of_its_own(system: System) -> None:
    system.release.apply(jobqueue(TEMPLATED, system.beside, {"template": {}}))
    await ready(system, TEMPLATED)
    deployment = f"{TEMPLATED}-worker"

    with system.user() as user:
        job_ids = [user.add_job({}, queue=TEMPLATED) for _ in range(5)]
        jobs = user.wait_final(job_ids, seconds=30)
    assert_each_called_once(system, jobs)
    assert {job["queue"] for job in jobs} == {TEMPLATED}
    system.wait_no_worker(deployment, seconds=60)
    assert_no_worker_was_killed(system, deployment)

    system.release.kubectl("delete", "jobqueue", TEMPLATED, "--timeout=30s")

    def is_gone() -> None:
        left = system.release.kubectl("get", "deployment,configmap", "-o", "name").split()
        assert [name for name in left if TEMPLATED in name] == []

    await eventually(is_gone, within=30)


async def test_what_is_uninstalled_leaves_the_crd_and_nothing_else(system: System) -> None:
    system.release.kubectl("delete", "jobqueue", "--all", "--timeout=30s")
    system.release.uninstall()

    def only_ours() -> None:
        assert leftovers(system.release.namespace, system.release.name) == []

    await eventually(only_ours, within=60)
    assert system.release.kubectl("get", CRD, "-o", "name").strip().endswith("/jobqueues.jobqueue.dev")
