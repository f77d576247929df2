"""Bad submissions: each problem names the field and the rule, and nothing is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_testsupport.api_rig import ApiRig, assert_problem

if TYPE_CHECKING:
    import httpx

DEEP = 20_000


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        pytest.param(b"{", "body", "must be JSON", id="not JSON"),
        pytest.param(b"hello", "body", "must be JSON", id="text"),
        pytest.param(b"\xff\xfe", "body", "must be JSON", id="not UTF-8"),
        pytest.param(b"[]", "body", "must be a JSON object", id="list"),
        pytest.param(b"null", "body", "must be a JSON object", id="null"),
        pytest.param(b"[" * DEEP + b"]" * DEEP, "body", "must be JSON: recursion", id="deep"),
        pytest.param(
            b'{"payload":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
            "body",
            "recursion",
            id="deep payload",
        ),
        pytest.param(b'{"payload": {"n": NaN}}', "payload", "finite", id="NaN"),
        pytest.param(b'{"payload": {"n": [-Infinity]}}', "payload", "finite", id="Infinity"),
        pytest.param(b'{"payload": {"n": 1e999}}', "payload", "finite", id="too large a float"),
        pytest.param(b'{"payload": {"n": 1' + b"0" * 400 + b".5}}", "payload", "finite", id="long float"),
        pytest.param(b'{"payload": {"n": 1' + b"0" * 5000 + b"}}", "body", "out of range", id="long int"),
        pytest.param(b'{"delaySeconds": NaN}', "delaySeconds", "at least 0", id="NaN delay"),
    ],
)
async def test_bad_json(rig: ApiRig, client: httpx.AsyncClient, body: bytes, field: str, rule: str) -> None:
    assert_problem(await client.post("/addJob", content=body), 422, "validation_failed", {field: rule})
    assert rig.store.jobs == {}


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({"queue": "nosuch"}, "queue", "must be a configured queue: default, emails, orders"),
        ({"queue": 7}, "queue", "must be the name of a configured queue"),
        ({"payload": [1]}, "payload", "must be a JSON object"),
        ({"payload": None}, "payload", "must be a JSON object"),
        ({"payload": "x" * 500}, "payload", "must be a JSON object"),
        ({"idempotencyKey": ""}, "idempotencyKey", "1 to 255 visible ASCII"),
        ({"idempotencyKey": "a b"}, "idempotencyKey", "1 to 255 visible ASCII"),
        ({"idempotencyKey": "k" * 256}, "idempotencyKey", "1 to 255 visible ASCII"),
        ({"runAt": "2026-01-01T12:00:00"}, "runAt", "RFC 3339 with its offset"),
        ({"runAt": "tomorrow"}, "runAt", "RFC 3339"),
        ({"runAt": 1767268800}, "runAt", "RFC 3339"),
        ({"runAt": "2026-02-30T00:00:00Z"}, "runAt", "RFC 3339"),
        ({"runAt": "0001-01-01T00:00:00+01:00"}, "runAt", "RFC 3339"),
        ({"runAt": "9999-12-31T23:59:59-01:00"}, "runAt", "RFC 3339"),
        ({"runAt": "2036-01-01T12:00:00Z"}, "runAt", "at most 31622400 seconds from now"),
        ({"delaySeconds": -1}, "delaySeconds", "at least 0"),
        ({"delaySeconds": 31_622_401}, "delaySeconds", "at most 31622400"),
        ({"delaySeconds": "60"}, "delaySeconds", "must be a number of seconds"),
        ({"delaySeconds": True}, "delaySeconds", "must be a number of seconds"),
        (
            {"delaySeconds": 1, "runAt": "2026-01-01T12:00:00Z"},
            "delaySeconds",
            "must not come together with runAt",
        ),
        ({"maxAttempts": 0}, "maxAttempts", "at least 1 and at most 100"),
        ({"maxAttempts": 101}, "maxAttempts", "at least 1 and at most 100"),
        ({"maxAttempts": 2.5}, "maxAttempts", "must be an integer"),
        ({"maxAttempts": "3"}, "maxAttempts", "must be an integer"),
        ({"maxAttempts": 10**30}, "maxAttempts", "at most 100"),
        ({"timeoutSeconds": 0}, "timeoutSeconds", "above 0 and at most 36000"),
        ({"timeoutSeconds": 36_000.1}, "timeoutSeconds", "above 0 and at most 36000"),
        ({"orderingKey": ""}, "orderingKey", "1 to 128"),
        ({"orderingKey": "a b"}, "orderingKey", "1 to 128"),
        ({"orderingKey": "k" * 129}, "orderingKey", "1 to 128"),
        ({"labels": {f"k{n}": "v" for n in range(17)}}, "labels", "at most 16"),
        ({"labels": {"team": "a b"}}, "labels.team", "A-Z a-z 0-9 . _ / -"),
        ({"labels": {"team": 7}}, "labels.team", "keys and values"),
        ({"labels": {"te am": "a"}}, "labels.te am", "A-Z a-z 0-9 . _ / -"),
        ({"labels": {"k": "v" * 64}}, "labels.k", "1 to 63"),
        ({"labels": ["a"]}, "labels", "must be an object"),
        ({"priority": 1}, "priority", "not supported yet"),
        ({"callbackUrl": "https://example.com"}, "callbackUrl", "not supported yet"),
        ({"payloads": {}}, "payloads", "is not known; known are queue, payload, idempotencyKey"),
        ({"idempotency_key": "k"}, "idempotency_key", "is not known"),
    ],
)
async def test_bad_field(
    rig: ApiRig, client: httpx.AsyncClient, body: dict[str, object], field: str, rule: str
) -> None:
    document = assert_problem(
        await client.post("/addJob", json=body), 422, "validation_failed", {field: rule}
    )
    assert document["detail"].startswith(field)
    assert all(len(error.get("got", "")) <= 100 for error in document["errors"])
    assert rig.store.jobs == {}


async def test_every_bad_field_is_named_at_once(rig: ApiRig, client: httpx.AsyncClient) -> None:
    body = {"maxAttempts": 0, "labels": {"a": "!"}, "nosuch": 1}
    fields = {"maxAttempts": "at least 1", "labels.a": "keys and values", "nosuch": "not known"}
    assert_problem(await client.post("/addJob", json=body), 422, "validation_failed", fields)
    assert rig.store.jobs == {}


@pytest.mark.parametrize(
    ("headers", "field", "rule"),
    [
        ({"Idempotency-Key": "other"}, "idempotencyKey", "must be the same in the body as in the header"),
        ({"Idempotency-Key": "a b"}, "Idempotency-Key", "visible ASCII"),
        ({"Idempotency-Key": ""}, "Idempotency-Key", "1 to 255"),
    ],
)
async def test_bad_idempotency_header(
    rig: ApiRig, client: httpx.AsyncClient, headers: dict[str, str], field: str, rule: str
) -> None:
    answer = await client.post("/addJob", json={"idempotencyKey": "one"}, headers=headers)
    assert_problem(answer, 422, "validation_failed", {field: rule})
    assert rig.store.jobs == {}


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "jsonish"])
async def test_body_of_another_media_type(rig: ApiRig, client: httpx.AsyncClient, media_type: str) -> None:
    answer = await client.post("/addJob", content=b"{}", headers={"content-type": media_type})
    document = assert_problem(answer, 415, "unsupported_media_type")
    assert "application/json" in document["detail"]
    assert rig.store.jobs == {}


async def test_value_is_repeated_at_most_in_part(client: httpx.AsyncClient) -> None:
    document = assert_problem(
        await client.post("/addJob", json={"queue": "q" * 10_000, "x" * 5000: 1}), 422, "validation_failed"
    )
    assert len(json.dumps(document)) < 2000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
names = st.sampled_from(
    ["queue", "payload", "idempotencyKey", "runAt", "delaySeconds", "maxAttempts", "labels", "orderingKey"]
)


@given(body=st.dictionaries(names, json_values, max_size=4) | json_values)
async def test_whatever_comes_is_stored_or_explained(body: object) -> None:
    rig = ApiRig()
    async with rig.serve() as client:
        answer = await client.post("/addJob", content=json.dumps(body))
    if answer.status_code == 200:
        assert rig.only_job.id == answer.json()["jobId"]
    else:
        assert_problem(answer, 422, "validation_failed")
        assert rig.store.jobs == {}
