"""What the operator makes for a JobQueue: the workers' settings and, from a template, their Deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobqueue_testsupport.kube.eventually import eventually, stays

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.operator_process import OperatorProcess
    from jobqueue_testsupport.kube.world import World

URL = "https://service.example/jobs"


def templated(world: World, queue: str, **spec: Any) -> None:  # noqa: ANN401 - fields of the spec
    """Create a JobQueue whose workers the operator makes."""
    template = {"image": "registry.invalid/worker:1", "labels": {"team": "a"}}
    worker = {"scaleTargetRef": None, "template": template}
    secret = {"name": "X-Key", "secretKeyRef": {"name": "processor", "key": "candidateKey"}}
    processor = {"url": URL, "timeoutSeconds": 20, "headersFrom": [secret]}
    world.jobqueue(queue, **{"worker": worker, "processor": processor, **spec})


def owned(item: dict[str, Any], world: World, queue: str) -> None:
    """Fail unless an object goes with its JobQueue and is labelled as made by the operator."""
    [owner] = item["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("JobQueue", queue)
    assert owner["uid"] == world.seen(queue)["metadata"]["uid"]
    assert owner["controller"] is True
    assert item["metadata"]["labels"]["jobqueue.dev/name"] == queue
    assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "jobqueue-operator"


async def test_a_template_becomes_a_deployment_that_is_scaled_and_goes_with_its_jobqueue(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    templated(world, queue)
    await world.ready(queue)
    made = world.cluster.api.get(world.path("deployments", f"{queue}-worker"))
    owned(made, world, queue)
    assert made["spec"]["replicas"] == 0
    pod = made["spec"]["template"]
    assert pod["metadata"]["labels"]["team"] == "a"
    assert made["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["terminationGracePeriodSeconds"] >= 20
    [container] = pod["spec"]["containers"]
    assert container["image"] == "registry.invalid/worker:1"
    variables = {variable["name"]: variable for variable in container["env"]}
    field = variables["JOBQUEUE_WORKER__ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.name"
    secrets = [
        variable["valueFrom"]["secretKeyRef"]
        for variable in container["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    ]
    assert secrets == [{"name": "processor", "key": "candidateKey"}]
    assert {"configMapRef": {"name": f"{queue}-settings"}} in container["envFrom"]
    world.sqs.send(queue, 5)

    def scaled() -> None:
        assert world.replicas(f"{queue}-worker") == 5

    await eventually(scaled)


async def test_pods_of_a_template_satisfy_the_restricted_pod_security_standard(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    templated(world, queue)
    await world.ready(queue)
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    world.cluster.api.patch(f"/api/v1/namespaces/{world.namespace}", restricted)
    made = world.cluster.api.get(world.path("deployments", f"{queue}-worker"))
    pod = {"metadata": {"name": f"{queue}-pod"}, "spec": made["spec"]["template"]["spec"]}
    world.cluster.api.create(world.path("pods"), pod)
    assert world.exists("pods", f"{queue}-pod")


async def test_the_settings_of_the_workers_follow_the_spec(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    templated(world, queue)
    await world.ready(queue)
    settings = world.cluster.api.get(world.path("configmaps", f"{queue}-settings"))
    owned(settings, world, queue)
    data = settings["data"]
    assert data["JOBQUEUE_PROCESSOR__URL"] == URL
    assert data["JOBQUEUE_PROCESSOR__TIMEOUT_SECONDS"] == "20"
    assert data["JOBQUEUE_SQS__QUEUE_NAME"] == queue
    assert data["JOBQUEUE_WORKER__CONCURRENCY"] == "1"
    before = world.cluster.api.get(world.path("deployments", f"{queue}-worker"))["spec"]["template"]

    world.change(queue, processor={"url": f"{URL}/v2"}, retry={"maxAttempts": 2})

    def followed() -> None:
        data = world.cluster.api.get(world.path("configmaps", f"{queue}-settings"))["data"]
        assert data["JOBQUEUE_PROCESSOR__URL"] == f"{URL}/v2"
        assert data["JOBQUEUE_RETRY__MAX_ATTEMPTS"] == "2"
        # New settings reach workers by new pods.
        after = world.cluster.api.get(world.path("deployments", f"{queue}-worker"))["spec"]["template"]
        assert after["metadata"]["annotations"] != before["metadata"]["annotations"]

    await eventually(followed)


async def test_a_change_of_the_template_keeps_the_number_of_workers(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    templated(world, queue)
    await world.ready(queue)
    world.sqs.send(queue, 3)

    def scaled() -> None:
        assert world.replicas(f"{queue}-worker") == 3

    await eventually(scaled)
    world.change(queue, worker={"template": {"image": "registry.invalid/worker:2", "labels": None}})

    def rolled() -> None:
        spec = world.cluster.api.get(world.path("deployments", f"{queue}-worker"))["spec"]
        assert spec["template"]["spec"]["containers"][0]["image"] == "registry.invalid/worker:2"
        assert "team" not in spec["template"]["metadata"]["labels"]
        assert spec["replicas"] == 3

    await eventually(rolled)


async def test_settings_are_made_for_a_named_deployment_too_which_is_not_touched_otherwise(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    named = world.deployment(queue)
    world.jobqueue(queue, processor={"url": URL})
    await world.ready(queue)
    settings = world.cluster.api.get(world.path("configmaps", f"{queue}-settings"))
    owned(settings, world, queue)
    assert settings["data"]["JOBQUEUE_PROCESSOR__URL"] == URL
    seen = world.cluster.api.get(world.path("deployments", queue))
    assert seen["metadata"]["resourceVersion"] == named["metadata"]["resourceVersion"]


async def test_a_deployment_of_somebody_else_is_not_taken_for_the_template(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    theirs = world.deployment(f"{queue}-worker", replicas=2)
    templated(world, queue, scaling={"minReplicas": 5})
    conflict = await eventually(lambda: world.expect(queue, "Ready", "False", "Conflict"))
    assert f"{queue}-worker" in conflict["message"]

    def untouched() -> None:
        seen = world.cluster.api.get(world.path("deployments", f"{queue}-worker"))
        assert seen["metadata"]["resourceVersion"] == theirs["metadata"]["resourceVersion"]

    await stays(untouched, 2.0)
