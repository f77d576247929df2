from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.ports.secrets import SecretAccessDeniedError
from jobqueue_core.settings.errors import SettingsError
from jobqueue_core.testing.secrets import FakeSecrets

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Lines, Load

CANARY = "canary-7f3a"
DIGEST = "ab" * 32

WRONG = {
    "missing secret": (
        "secrets: {worker.concurrency: {secret_id: nowhere}}",
        "worker.concurrency: secret nowhere does not exist [from secret nowhere]",
    ),
    "denied": (
        "secrets: {worker.concurrency: {secret_id: denied}}",
        "worker.concurrency: secret denied may not be read: allow it [from secret denied]",
    ),
    "no JSON for a key": (
        "secrets: {worker.concurrency: {secret_id: text, key: n}}",
        (
            'worker.concurrency: secret text must hold a JSON object with the key "n", and holds no JSON '
            "[from secret text]"
        ),
    ),
    "a list for a key": (
        "secrets: {worker.concurrency: {secret_id: list, key: n}}",
        (
            'worker.concurrency: secret list must hold a JSON object with the key "n", and holds other JSON '
            "[from secret list]"
        ),
    ),
    "missing key": (
        "secrets: {worker.concurrency: {secret_id: object, key: n}}",
        (
            'worker.concurrency: secret object has no key "n": add it to the secret, or correct '
            'secrets."worker.concurrency".key [from secret object]'
        ),
    ),
    "no JSON for a list": (
        "secrets: {api.auth.keys: {secret_id: text}}",
        (
            "api.auth.keys: secret text must hold a JSON list for this setting, and holds no JSON "
            "[from secret text]"
        ),
    ),
    "no JSON under the key": (
        "secrets: {api.auth.keys: {secret_id: object, key: a}}",
        (
            'api.auth.keys: secret object must hold a JSON list under the key "a" for this '
            "setting, and holds no JSON "
            "[from secret object]"
        ),
    ),
    "wrong value": (
        "secrets: {worker.concurrency: {secret_id: text}}",
        "worker.concurrency: must be a whole number from 1 to 1000 [from secret text]",
    ),
    "broken relation": (
        "secrets: {processor.timeout_seconds: {secret_id: number}}",
        (
            "sqs.visibility_timeout_seconds: must be longer than processor.timeout_seconds, or the message "
            "appears again while its job still runs"
        ),
    ),
    "entry without an id": (
        "secrets: {worker.concurrency: {key: n}}",
        'secrets."worker.concurrency".secret_id: is required [from file config/application.yaml:1]',
    ),
}


@pytest.fixture
def vault() -> FakeSecrets:
    return FakeSecrets(
        {
            "text": CANARY,
            "list": f'["{CANARY}"]',
            "object": f'{{"a": "{CANARY}"}}',
            "number": "77",
            "denied": SecretAccessDeniedError("denied", "may not be read: allow it"),
        }
    )


@pytest.mark.parametrize(("text", "line"), WRONG.values(), ids=WRONG.keys())
def test_a_secret_that_does_not_fit_is_one_line(
    lines: Lines, vault: FakeSecrets, text: str, line: str
) -> None:
    assert lines(text, secrets=vault) == [line]


def test_one_secret_is_read_once_for_all_its_settings(load: Load) -> None:
    vault = FakeSecrets(
        {"s": '{"uri": "mongodb://a", "n": 3}', "k": f'[{{"name": "a", "sha256": "{DIGEST}"}}]'}
    )
    text = """
secrets:
  mongodb.database: {secret_id: s, key: db}
  worker.concurrency: {secret_id: s, key: n}
  queues.emails.worker.concurrency: {secret_id: s, key: n}
  api.auth.keys: {secret_id: k}
"""
    settings = load(text, {"JOBQUEUE_MONGODB__DATABASE": "other"}, secrets=vault)
    assert vault.reads == ["s", "k"]
    assert (settings.worker.concurrency, settings.queue("emails").concurrency) == (3, 3)
    assert [(key.name, key.sha256) for key in settings.api.auth.keys] == [("a", DIGEST)]


def test_a_setting_of_the_environment_needs_no_secret(load: Load) -> None:
    vault = FakeSecrets()
    env = {
        "JOBQUEUE_SECRETS": '{"mongodb.uri": {"secret_id": "s"}}',
        "JOBQUEUE_MONGODB__URI": "mongodb://mine",
    }
    assert load("", env, secrets=vault).mongodb.uri.get_secret_value() == "mongodb://mine"
    assert vault.reads == []


def test_the_end_of_a_line_is_no_part_of_a_secret(load: Load) -> None:
    vault = FakeSecrets({"s": "https://service.example\n"})
    assert (
        load("secrets: {processor.url: {secret_id: s}}", secrets=vault).processor.url
        == "https://service.example"
    )


def test_a_section_from_a_secret_merges_with_the_files(load: Load) -> None:
    vault = FakeSecrets({"s": f'{{"X-Key": "{CANARY}"}}'})
    text = "processor: {headers: {A: '1'}}\nsecrets: {processor.headers: {secret_id: s}}"
    headers = load(text, secrets=vault).processor.headers
    assert {name: value.get_secret_value() for name, value in headers.items()} == {"A": "1", "X-Key": CANARY}


def test_secrets_without_a_reader_are_an_error(lines: Lines) -> None:
    assert lines("secrets: {processor.url: {secret_id: s}}") == [
        (
            "processor.url: is to come from a secret, and this process has nothing to read secrets "
            "with [from secret s]"
        )
    ]


def test_a_secret_that_cannot_be_read_makes_one_line_only(lines: Lines, vault: FakeSecrets) -> None:
    text = "api: {auth: {enabled: true}}\nsecrets: {api.auth.keys: {secret_id: nowhere}}"
    assert lines(text, secrets=vault) == [
        "api.auth.keys: secret nowhere does not exist [from secret nowhere]"
    ]


def test_no_secret_is_in_the_text_of_settings(load: Load) -> None:
    env = {
        "JOBQUEUE_MONGODB__URI": f"mongodb://user:{CANARY}@host",
        "JOBQUEUE_PROCESSOR__HEADERS": f'{{"Authorization": "{CANARY}"}}',
        "JOBQUEUE_API__AUTH__KEYS": f'[{{"name": "a", "sha256": "{DIGEST}"}}]',
    }
    settings = load("queues: {emails: {}}", env)
    texts = [repr(settings), str(settings), repr(settings.queue("emails")), str(settings.queue("emails"))]
    assert not [text for text in texts if CANARY in text or DIGEST in text]


@pytest.mark.parametrize(
    "env",
    [
        {"JOBQUEUE_MONGODB__URI": CANARY},
        {"JOBQUEUE_MONGODB": f'{{"uri": "{CANARY}'},
        {"JOBQUEUE_MONGODB": f'{{"url": "mongodb://{CANARY}"}}'},
        {"JOBQUEUE_MONGODB": f"mongodb://{CANARY}"},
        {"JOBQUEUE_MONGODB__DATABASE": f"mongodb://user:{CANARY}@host"},
        {"JOBQUEUE_MONGODB__PASSWORD": CANARY},
        {"JOBQUEUE_PROCESSOR__URL": f"https://user:{CANARY}@host"},
        {"JOBQUEUE_PROCESSOR__HEADERS": f"Bearer {CANARY}"},
        {"JOBQUEUE_PROCESSOR__HEADERS__AUTHORIZATION": f"Bearer\n{CANARY}"},
        {"JOBQUEUE_PROCESSOR__HEADERS": f'{{"A": ["{CANARY}"]}}'},
        {"JOBQUEUE_API__AUTH__KEYS": f'[{{"name": "a", "sha256": "{CANARY}"}}]'},
        {"JOBQUEUE_API__AUTH__KEYS": f'["{CANARY}"]'},
        {"JOBQUEUE_TOKEN": CANARY},
    ],
)
def test_no_secret_is_in_an_error(load: Load, env: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as error:
        load("", env)
    chain = "".join(traceback.format_exception(error.value))
    assert CANARY not in chain
    assert CANARY.encode() not in pickle.dumps([str(problem) for problem in error.value.errors])
