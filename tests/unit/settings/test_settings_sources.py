from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from jobqueue_core.settings.errors import SettingsError
from jobqueue_core.settings.load import load_or_exit, load_settings
from jobqueue_core.testing.secrets import FakeSecrets

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Lines, Load

CONFIG = Path(__file__).parents[3] / "config"
URI = {"JOBQUEUE_MONGODB__URI": "mongodb://localhost"}
PRODUCTION_SECRETS = {
    "jobqueue/mongodb": '{"uri": "mongodb+srv://user:password@cluster.example"}',
    "jobqueue/api-keys": '[{"name": "billing", "sha256": "' + "A" * 64 + '"}]',
}


def test_each_source_wins_over_the_one_before(load: Load) -> None:
    secrets = FakeSecrets({"s": '{"c": 3, "d": 3}'})
    settings = load(
        "scaling: {min_replicas: 1, max_replicas: 11, poll_seconds: 1, zero_after_seconds: 1}\n"
        "secrets: {scaling.poll_seconds: {secret_id: s, key: c},\n"
        "  scaling.zero_after_seconds: {secret_id: s, key: d}}",
        {"JOBQUEUE_ENV": "test", "JOBQUEUE_SCALING__ZERO_AFTER_SECONDS": "4"},
        secrets=secrets,
        test="scaling: {max_replicas: 12, poll_seconds: 2, zero_after_seconds: 2}",
    ).scaling
    assert (settings.min_replicas, settings.max_replicas) == (1, 12)
    assert (settings.poll_seconds, settings.zero_after_seconds) == (3, 4)


def test_sections_merge_and_lists_replace(load: Load) -> None:
    processor = load(
        "processor: {headers: {A: '1', B: '1'}, headers_from: [{name: C, env: C}]}",
        {"JOBQUEUE_ENV": "test"},
        test="processor: {headers: {B: '2'}, headers_from: [{name: D, env: D}]}",
    ).processor
    assert {name: value.get_secret_value() for name, value in processor.headers.items()} == {
        "A": "1",
        "B": "2",
    }
    assert [header.name for header in processor.headers_from] == ["D"]


def test_a_section_without_lines_is_not_set(load: Load) -> None:
    settings = load("retry: {max_attempts: 2}\nqueues:\n", {"JOBQUEUE_ENV": "test"}, test="retry:\n")
    assert (settings.retry.max_attempts, settings.queues) == (2, {})


def test_null_takes_back_what_an_earlier_layer_set(load: Load) -> None:
    env = {
        "JOBQUEUE_SCALING__TARGET__BACKLOG_PER_REPLICA": "null",
        "JOBQUEUE_SCALING__TARGET__DRAIN_SECONDS": "60",
    }
    target = load("scaling: {target: {backlog_per_replica: 5}}", env).scaling.target
    assert (target.backlog_per_replica, target.drain_seconds) == (None, 60)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1", "config/application.yaml: line 1, column 6: expected ',' or ']', but got '<stream end>'"),
        ("mongodb:\n  uri: *canary", "config/application.yaml: line 2, column 8: found undefined alias …"),
        (
            "uri: !canary x",
            "config/application.yaml: line 1, column 6: could not determine a constructor for the tag …",
        ),
        ("- a", "config/application.yaml: must be a mapping of sections"),
        ("a: \x01", "config/application.yaml: cannot be read as YAML in UTF-8: ReaderError"),
        ("retry: {}\nretry: {}", "retry: set twice in one mapping [from file config/application.yaml:2]"),
        ("retry: {1: 2}", "retry.1: a key must be text: quote it [from file config/application.yaml:1]"),
    ],
    ids=["syntax", "alias", "tag", "list", "control character", "key twice", "key of a number"],
)
def test_a_file_that_cannot_be_read_is_one_line(lines: Lines, text: str, line: str) -> None:
    assert lines(text) == [line]


def test_the_folder_named_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SettingsError, match="the configuration folder does not exist") as error:
        load_settings({**URI, "JOBQUEUE_CONFIG_DIR": str(missing)})
    assert [problem.source for problem in error.value.errors] == [f"env JOBQUEUE_CONFIG_DIR={missing}"]


def test_the_folder_named_must_have_a_base_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"application\.yaml: the file does not exist"):
        load_settings({**URI, "JOBQUEUE_CONFIG_DIR": str(tmp_path)})


def test_no_folder_is_needed_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(URI).mongodb.uri.get_secret_value() == "mongodb://localhost"


def test_the_folder_is_found_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/application.yaml").write_text("api: {port: 9}", encoding="utf-8")
    assert load_settings(URI).api.port == 9


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("prod", "application.prod.yaml: the file does not exist [from env JOBQUEUE_ENV=prod]"),
        (
            "../x",
            (
                "JOBQUEUE_ENV: must be 1 to 63 letters, digits, - and _: it names "
                "application.<JOBQUEUE_ENV>.yaml"
            ),
        ),
    ],
)
def test_the_environment_named_must_have_a_file(lines: Lines, name: str, rule: str) -> None:
    (line,) = lines("", {"JOBQUEUE_ENV": name})
    assert rule in line


def test_a_missing_database_is_told_with_its_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "application.yaml").write_text("retry: {max_attempts: 0}", encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        load_or_exit({}, tmp_path)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "mongodb.uri: is required: set it, or JOBQUEUE_MONGODB__URI",
        (
            "retry.max_attempts: must be a whole number from 1 to 100 (got 0) "
            f"[from file {tmp_path}/application.yaml:1]"
        ),
    ]


@pytest.mark.parametrize("environment", ["", "local", "production"])
def test_the_files_of_the_repository_are_valid(environment: str) -> None:
    env = {**URI, "JOBQUEUE_ENV": environment}
    settings = load_settings(env, CONFIG, FakeSecrets(PRODUCTION_SECRETS))
    assert settings.sqs.create == (environment == "local")
    assert settings.api.auth.enabled == (environment == "production")


def test_the_base_file_says_the_defaults() -> None:
    of_file = load_settings(URI, CONFIG).model_dump()
    of_model = load_settings(URI, Path(__file__).parent / "defaults").model_dump()
    of_model["sqs"]["queue_name"] = "jobs"
    assert of_file == of_model


def test_settings_do_not_change(load: Load) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().default_queue = "other"  # type: ignore[misc]
