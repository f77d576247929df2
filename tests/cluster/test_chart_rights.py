"""The rights that the chart gives the operator: all that it needs, and nothing by a wildcard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from jobqueue_testsupport.kube.chart import RBAC, account_of, render, rights_of
from jobqueue_testsupport.kube.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobqueue_testsupport.kube.api import Object
    from jobqueue_testsupport.kube.audit import AuditLog
    from jobqueue_testsupport.kube.cluster import Cluster
    from jobqueue_testsupport.kube.operator_process import StartOperator
    from jobqueue_testsupport.kube.world import World

TEMPLATE = {"scaleTargetRef": None, "template": {"image": "registry.invalid/worker:1"}}
SERVICE = {"url": "https://service.example/jobs"}


@pytest.fixture
def chart(cluster: Cluster, namespace: str) -> Iterator[list[Object]]:
    """All objects of the chart, for the test's namespace; the rights that were granted end with the test."""
    objects = render("test", namespace)
    yield objects
    rights = yaml.safe_dump_all(item for item in objects if item["kind"] in RBAC)
    cluster.kubectl("-n", namespace, "delete", "--ignore-not-found", "-f", "-", given=rights)


def test_no_role_of_the_chart_has_a_wildcard(chart: list[Object]) -> None:
    roles = [item for item in chart if item["kind"] in {"ClusterRole", "Role"}]
    assert roles
    for role in roles:
        for rule in role["rules"]:
            for part in ("apiGroups", "resources", "verbs"):
                assert "*" not in rule.get(part, ()), role["metadata"]["name"]


async def test_with_the_rights_of_the_chart_the_operator_can_do_everything(
    world: World, queue: str, start_operator: StartOperator, audit: AuditLog, chart: list[Object]
) -> None:
    account = account_of(chart, "operator")
    kubeconfig = world.cluster.service_account(world.namespace, account)
    rights = rights_of(chart, account)
    assert rights
    world.cluster.apply(*rights)
    # All namespaces, as the chart's operator does where it is not told otherwise.
    operator = start_operator(
        kubeconfig, JOBQUEUE_OPERATOR__NAMESPACES="[]", JOBQUEUE_OPERATOR__LEASE__NAME=account
    )

    pods = [f"{queue}-{number}" for number in range(3)]
    world.deployment(queue, replicas=3)
    world.pods(queue, *pods)
    async with world.busy(queue, pods[0]):
        world.jobqueue(queue, queue={"deletionPolicy": "Delete"})
        world.jobqueue(f"{queue}-made", worker=TEMPLATE, processor=SERVICE)
        await world.ready(queue)
        await world.ready(f"{queue}-made")

        def scaled_down() -> None:
            assert world.replicas(queue) == 1

        await eventually(scaled_down)
    world.sqs.send(f"{queue}-made", 2)
    world.change(f"{queue}-made", worker={"template": {"image": "registry.invalid/worker:2"}})

    def rolled() -> None:
        made = world.cluster.api.get(world.path("deployments", f"{queue}-made-worker"))
        assert made["spec"]["replicas"] == 2
        assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.invalid/worker:2"
        assert world.events(f"{queue}-made", "ScaledUp")

    await eventually(rolled)
    world.delete(queue)

    def gone() -> None:
        assert not world.exists("jobqueues", queue)

    await eventually(gone)
    operator.stop()
    user = f"system:serviceaccount:{world.namespace}:{account}"
    requests = [request for request in audit.read() if request.user == user]
    assert requests
    assert [request for request in requests if request.code in {401, 403}] == []


async def test_without_the_right_to_scale_the_condition_says_so_and_mends(
    world: World, queue: str, start_operator: StartOperator, chart: list[Object]
) -> None:
    account = account_of(chart, "operator")
    kubeconfig = world.cluster.service_account(world.namespace, account)
    rights = rights_of(chart, account)
    world.cluster.apply(*(without_scale(item) for item in rights))
    start_operator(kubeconfig, JOBQUEUE_OPERATOR__LEASE__NAME=account)
    world.deployment(queue)
    world.jobqueue(queue, scaling={"minReplicas": 2})
    denied = await eventually(lambda: world.expect(queue, "Ready", "False", "TargetForbidden"))
    assert "deployments" in denied["message"]
    world.cluster.apply(*rights)

    def mended() -> None:
        assert world.replicas(queue) == 2
        world.expect(queue, "Ready", "True")

    await eventually(mended)


def without_scale(item: Object) -> Object:
    """Return a role without the right to write a number of replicas; everything else as it is."""
    if "rules" not in item:
        return item
    rules = [
        {**rule, "resources": [resource for resource in rule["resources"] if resource != "deployments/scale"]}
        for rule in item["rules"]
    ]
    return {**item, "rules": [rule for rule in rules if rule["resources"]]}
