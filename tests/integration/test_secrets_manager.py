from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import aioboto3
import pytest
from moto.server import ThreadedMotoServer

from jobqueue_core.adapters.secrets_manager import SecretsManagerReader
from jobqueue_core.ports.secrets import (
    SecretAccessDeniedError,
    SecretError,
    SecretNotFoundError,
    SecretUnavailableError,
    SecretUnreadableError,
)
from jobqueue_core.settings.errors import SettingsError
from jobqueue_core.settings.load import load_or_exit, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-7f3a"
ENDPOINT = "AWS_ENDPOINT_URL_SECRETS_MANAGER"
SECRETS: dict[str, str | bytes] = {
    "jobqueue/mongodb": f'{{"uri": "mongodb://user:{CANARY}@host"}}',
    "jobqueue/text": CANARY,
    "jobqueue/binary": CANARY.encode(),
}


class Script:
    """An endpoint that answers with the given bodies in turn, the last one again and again."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.requests = 0
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, body = answers[min(script.requests, len(answers) - 1)]
                script.requests += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name of the base class)
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def endpoint(server: str, aws: None, monkeypatch: pytest.MonkeyPatch) -> str:
    _ = aws
    monkeypatch.setenv(ENDPOINT, server)
    asyncio.run(store())
    return server


async def store() -> None:
    async with aioboto3.Session().client("secretsmanager") as client:
        known = {entry["Name"] for entry in (await client.list_secrets())["SecretList"]}
        for name, value in SECRETS.items():
            if name not in known and isinstance(value, str):
                await client.create_secret(Name=name, SecretString=value)
            elif name not in known:
                await client.create_secret(Name=name, SecretBinary=value)


def read(secret_id: str, max_attempts: int = 5) -> str:
    return asyncio.run(SecretsManagerReader(max_attempts).read(secret_id))


@pytest.mark.usefixtures("endpoint")
def test_a_secret_is_read_by_its_name() -> None:
    assert read("jobqueue/text") == CANARY


@pytest.mark.usefixtures("endpoint")
def test_a_missing_secret_says_so() -> None:
    with pytest.raises(
        SecretNotFoundError, match="secret jobqueue/none does not exist in this account and region"
    ):
        read("jobqueue/none")


@pytest.mark.usefixtures("endpoint")
def test_a_binary_secret_says_so() -> None:
    with pytest.raises(
        SecretUnreadableError, match="secret jobqueue/binary is binary: store it as text"
    ) as error:
        read("jobqueue/binary")
    assert CANARY not in str(error.value)


@pytest.mark.parametrize(
    ("code", "kind", "rule"),
    [
        ("AccessDeniedException", SecretAccessDeniedError, "allow secretsmanager:GetSecretValue"),
        ("UnrecognizedClientException", SecretAccessDeniedError, "may not be read"),
        ("DecryptionFailure", SecretAccessDeniedError, "allow kms:Decrypt"),
        ("InvalidRequestException", SecretNotFoundError, "marked for deletion"),
        ("InvalidParameterException", SecretUnavailableError, "answered InvalidParameterException"),
    ],
)
def test_a_refusal_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: str, kind: type[SecretError], rule: str
) -> None:
    with Script((400, f'{{"__type": "{code}", "message": "no"}}')) as script:
        monkeypatch.setenv(ENDPOINT, script.url)
        with pytest.raises(kind, match=rule) as error:
            read("s")
    assert error.value.secret_id == "s"
    assert script.requests == 1


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = '{"__type": "ThrottlingException", "message": "slow down"}'
    with Script((500, "{}"), (400, throttled), (200, '{"SecretString": "found"}')) as script:
        monkeypatch.setenv(ENDPOINT, script.url)
        assert read("s") == "found"
    assert script.requests == 3


def test_attempts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with Script((500, "{}")) as script:
        monkeypatch.setenv(ENDPOINT, script.url)
        with pytest.raises(SecretUnavailableError, match="answered 500"):
            read("s", max_attempts=2)
    assert script.requests == 2


def test_nobody_answering_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Script((200, "{}")) as script:
        monkeypatch.setenv(ENDPOINT, script.url)
    with pytest.raises(SecretUnavailableError, match="does not answer"):
        read("s", max_attempts=1)


def test_missing_credentials_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SecretAccessDeniedError, match="no AWS credentials found"):
        read("s")


def test_a_missing_region_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SecretUnavailableError, match="set AWS_REGION"):
        read("s")


@pytest.mark.usefixtures("endpoint")
def test_settings_come_from_the_manager(tmp_path: Path) -> None:
    text = "secrets: {mongodb.uri: {secret_id: jobqueue/mongodb, key: uri}}"
    (tmp_path / "application.yaml").write_text(text, encoding="utf-8")
    settings = load_settings({}, tmp_path, SecretsManagerReader())
    assert settings.mongodb.uri.get_secret_value() == f"mongodb://user:{CANARY}@host"


@pytest.mark.usefixtures("endpoint")
def test_bad_secrets_end_the_process_with_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
secrets:
  mongodb.uri: {secret_id: jobqueue/none}
  worker.concurrency: {secret_id: jobqueue/text}
  api.auth.keys: {secret_id: jobqueue/mongodb, key: keys}
"""
    (tmp_path / "application.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        load_or_exit({}, tmp_path, SecretsManagerReader())
    assert exit_.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        (
            "mongodb.uri: secret jobqueue/none does not exist in this account and region: create "
            "it, or correct its id "
            "or AWS_REGION [from secret jobqueue/none]"
        ),
        (
            'api.auth.keys: secret jobqueue/mongodb has no key "keys": add it to the secret, or correct '
            'secrets."api.auth.keys".key [from secret jobqueue/mongodb]'
        ),
        "worker.concurrency: must be a whole number from 1 to 1000 [from secret jobqueue/text]",
    ]


def test_no_value_is_in_the_chain_of_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text(
        "secrets: {mongodb.uri: {secret_id: s, key: k}}", encoding="utf-8"
    )
    with Script((200, f'{{"SecretString": "{CANARY}"}}')) as script:
        monkeypatch.setenv(ENDPOINT, script.url)
        with pytest.raises(SettingsError) as error:
            load_settings({}, tmp_path, SecretsManagerReader())
    cause: BaseException | None = error.value
    while cause is not None:
        assert CANARY not in repr(cause)
        cause = cause.__cause__ or cause.__context__
