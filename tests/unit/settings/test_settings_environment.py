from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Lines, Load

UNKNOWN = {
    "JOBQUEUE_RETYR__MAX_ATTEMPTS": "retyr.max_attempts: unknown setting; did you mean "
    "JOBQUEUE_RETRY__MAX_ATTEMPTS?",
    "JOBQUEUE_RETRY_MAX_ATTEMPTS": "retry_max_attempts: unknown setting; did you mean "
    "JOBQUEUE_RETRY__MAX_ATTEMPTS?",
    "JOBQUEUE_RETRY__MAX_ATEMPTS": "retry.max_atempts: unknown setting; did you mean "
    "JOBQUEUE_RETRY__MAX_ATTEMPTS?",
    "JOBQUEUE_RETRY__BACKOF__FACTOR": "retry.backof: unknown setting; did you mean "
    "JOBQUEUE_RETRY__BACKOFF__FACTOR?",
    "JOBQUEUE_QUEUES__EMAILS__RETRI__MAX_ATTEMPTS": "queues.emails.retri: unknown setting; "
    "did you mean JOBQUEUE_QUEUES__EMAILS__RETRY__MAX_ATTEMPTS?",
    "JOBQUEUE_DEFAULT_QUEUE__NAME": "default_queue.name: unknown setting; did you mean "
    "JOBQUEUE_DEFAULT_QUEUE?",
    "JOBQUEUE_RETRY__MAX_ATTEMPTS__X": "retry.max_attempts.x: unknown setting; "
    "did you mean JOBQUEUE_RETRY__MAX_ATTEMPTS?",
    "JOBQUEUE_API__AUTH__KEYS__0__NAME": "api.auth.keys.0.name: unknown setting; "
    "did you mean JOBQUEUE_API__AUTH__KEYS?",
    "JOBQUEUE_PORT": "port: unknown setting; did you mean JOBQUEUE_API__PORT?",
    "JOBQUEUE_ZZZ": "zzz: unknown setting",
    "jobqueue_zzz": "zzz: unknown setting",
}

# What Kubernetes sets in a pod beside Services named jobqueue and jobqueue-api (with a port "http").
SERVICE_LINKS = {
    "JOBQUEUE_SERVICE_HOST": "10.0.0.1",
    "JOBQUEUE_SERVICE_PORT": "80",
    "JOBQUEUE_PORT": "tcp://10.0.0.1:80",
    "JOBQUEUE_PORT_80_TCP": "tcp://10.0.0.1:80",
    "JOBQUEUE_API_SERVICE_HOST": "10.0.0.2",
    "JOBQUEUE_API_SERVICE_PORT": "8000",
    "JOBQUEUE_API_SERVICE_PORT_HTTP": "8000",
    "JOBQUEUE_API_PORT": "tcp://10.0.0.2:8000",
    "JOBQUEUE_API_PORT_8000_TCP": "tcp://10.0.0.2:8000",
    "JOBQUEUE_API_PORT_8000_TCP_PROTO": "tcp",
    "JOBQUEUE_API_PORT_8000_TCP_PORT": "8000",
    "JOBQUEUE_API_PORT_8000_TCP_ADDR": "10.0.0.2",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_variable_is_an_error(lines: Lines, name: str) -> None:
    assert lines("", {name: "canary"}) == [f"{UNKNOWN[name]} [from env {name}]"]


def test_service_links_of_kubernetes_are_left_alone(load: Load) -> None:
    assert load("", SERVICE_LINKS).api.port == 8000


def test_a_port_that_is_no_service_link_is_an_error(lines: Lines) -> None:
    assert lines("", {"JOBQUEUE_API_PORT": "8001"}) == [
        "api_port: unknown setting; did you mean JOBQUEUE_API__PORT? [from env JOBQUEUE_API_PORT]"
    ]


def test_variables_of_tests_are_left_alone(load: Load) -> None:
    assert (
        load("", {"JOBQUEUE_TEST_MONGO_URI": "x", "OTHER": "y", "JOBQUEUE": "z"}).default_queue == "default"
    )


def test_a_wrong_value_names_its_variable(lines: Lines) -> None:
    assert lines("retry: {max_attempts: 5}", {"JOBQUEUE_RETRY__MAX_ATTEMPTS": "0"}) == [
        (
            "retry.max_attempts: must be a whole number from 1 to 100 (got '0') [from env "
            "JOBQUEUE_RETRY__MAX_ATTEMPTS]"
        )
    ]


def test_a_value_inside_json_names_the_variable_of_the_section(lines: Lines) -> None:
    assert lines("", {"JOBQUEUE_RETRY": '{"backoff": {"factor": 0}}'}) == [
        "retry.backoff.factor: must be a number from 1 to 100 (got 0) [from env JOBQUEUE_RETRY]"
    ]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("JOBQUEUE_RETRY", "retry: must be a mapping, written as JSON"),
        ("JOBQUEUE_PROCESSOR__HEADERS", "processor.headers: must be a mapping, written as JSON"),
        ("JOBQUEUE_API__AUTH__KEYS", "api.auth.keys: must be a list, written as JSON"),
    ],
)
def test_what_must_be_json_says_so_and_is_not_shown(lines: Lines, name: str, rule: str) -> None:
    assert lines("", {name: "Bearer canary"}) == [f"{rule} [from env {name}]"]


def test_variables_below_a_section_win_over_its_json(load: Load) -> None:
    env = {
        "JOBQUEUE_RETRY__BACKOFF__FACTOR": "3",
        "JOBQUEUE_RETRY__BACKOFF": '{"factor": 4, "max_seconds": 9}',
        "JOBQUEUE_RETRY": '{"max_attempts": 2, "backoff": {"factor": 5}}',
    }
    retry = load("", env).retry
    assert (retry.max_attempts, retry.backoff.max_seconds, retry.backoff.factor) == (2, 9, 3)


def test_queues_from_variables_merge_and_are_lower_cased(load: Load) -> None:
    env = {
        "JOBQUEUE_QUEUES__EMAILS__RETRY__MAX_ATTEMPTS": "2",
        "JOBQUEUE_QUEUES__REPORTS__WORKER__CONCURRENCY": "3",
    }
    settings = load("queues: {emails: {retry: {max_attempts: 1, backoff: {factor: 4}}}}", env)
    assert settings.queue_names == ("default", "emails", "reports")
    assert (settings.queue("emails").retry.max_attempts, settings.queue("emails").retry.backoff.factor) == (
        2,
        4,
    )
    assert settings.queue("reports").concurrency == 3


def test_queues_as_json_keep_their_case(load: Load) -> None:
    settings = load("", {"JOBQUEUE_QUEUES": '{"Nightly-Reports": {}}'})
    assert settings.queue_names == ("default", "Nightly-Reports")


@pytest.mark.parametrize(
    ("env", "replicas"),
    [
        ({"JOBQUEUE_SCALING__ON_UNKNOWN": "Hold"}, None),
        ({"JOBQUEUE_SCALING__ON_UNKNOWN": '{"replicas": 2}'}, 2),
        ({"JOBQUEUE_SCALING__ON_UNKNOWN__REPLICAS": "3"}, 3),
    ],
    ids=["Hold", "JSON", "below"],
)
def test_on_unknown_has_every_form(load: Load, env: dict[str, str], replicas: int | None) -> None:
    assert load("", env).scaling.on_unknown.replicas == replicas
