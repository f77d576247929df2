"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from jobqueue_api.submission.schemas import RULES
from jobqueue_testsupport.api_rig import ApiRig

if TYPE_CHECKING:
    import httpx

OPERATIONS = {
    "addJob": ("post", "/addJob"),
    "addJobs": ("post", "/jobs/batch"),
    "getStatus": ("get", "/status"),
    "listJobs": ("get", "/jobs"),
    "getJob": ("get", "/jobs/{job_id}"),
    "cancelJob": ("post", "/jobs/{job_id}/cancel"),
    "retryJob": ("post", "/jobs/{job_id}/retry"),
    "listQueues": ("get", "/queues"),
    "getQueue": ("get", "/queues/{name}"),
    "listSchedules": ("get", "/queues/{name}/schedules"),
    "listDeadLetters": ("get", "/queues/{name}/dead-letters"),
    "groupDeadLetters": ("get", "/queues/{name}/dead-letters/groups"),
    "listForeignLetters": ("get", "/queues/{name}/dead-letters/foreign"),
    "redriveDeadLetters": ("post", "/queues/{name}/dead-letters/redrive"),
    "listRedrives": ("get", "/queues/{name}/dead-letters/redrives"),
    "getRedrive": ("get", "/queues/{name}/dead-letters/redrives/{redrive_id}"),
    "cancelRedrive": ("post", "/queues/{name}/dead-letters/redrives/{redrive_id}/cancel"),
    "getHealth": ("get", "/healthz"),
    "getReadiness": ("get", "/readyz"),
    "getMetrics": ("get", "/metrics"),
}


@pytest_asyncio.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get("/openapi.json")).json()
    return answer


async def test_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


async def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    found = {
        operation["operationId"]: (method, path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert found == OPERATIONS


@pytest.mark.parametrize("operation_id", OPERATIONS)
async def test_operation_is_described_with_examples_and_problems(
    document: dict[str, Any], operation_id: str
) -> None:
    method, path = OPERATIONS[operation_id]
    operation = document["paths"][path][method]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    (success,) = operation["responses"].keys() & {"200", "202"}
    (content,) = operation["responses"][success]["content"].values()
    assert "example" in content
    assert content["schema"]
    if "requestBody" in operation:
        assert operation["requestBody"]["content"]["application/json"]["examples"]
    problems = {status: answer for status, answer in operation["responses"].items() if status != success}
    assert "500" in problems
    for status, answer in problems.items():
        problem = answer["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
        for code, example in problem["examples"].items():
            value = example["value"]
            assert (value["code"], str(value["status"])) == (code, status)


async def test_examples_of_submissions_are_accepted(
    rig: ApiRig, client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    for path in ("/addJob", "/jobs/batch"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in body["examples"].values():
            answer = await client.post(path, json=example["value"])
            assert answer.status_code == 200, answer.text
    assert len(rig.store.jobs) == 5


async def test_examples_of_answers_have_the_fields_of_answers(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    job_id = (await client.post("/addJob")).json()["jobId"]
    for path, url in (
        ("/jobs/{job_id}", f"/jobs/{job_id}"),
        ("/jobs", "/jobs"),
        ("/status", "/status"),
        ("/queues/{name}", "/queues/default"),
        ("/readyz", "/readyz"),
    ):
        example = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        assert set((await client.get(url)).json()) == set(example), path


async def test_every_field_of_a_job_has_its_rule(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["JobRequest"]["properties"]
    assert set(properties) == set(RULES)
    assert all("description" in field for field in properties.values())


async def test_keys_are_in_the_document_when_they_are_on() -> None:
    auth = {"enabled": True, "keys": [{"name": "a", "sha256": "0" * 64}]}
    async with ApiRig(api={"auth": auth}).serve() as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    assert document["security"]
    assert document["paths"]["/healthz"]["get"]["security"] == []


async def test_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        if address.startswith("data:"):
            continue
        answer = await client.get(f"/{address}")
        assert answer.status_code == 200
        assert len(answer.content) > 100_000
    assert "://" not in page
