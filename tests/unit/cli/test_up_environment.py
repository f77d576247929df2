from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from jobqueue_cli import environment
from jobqueue_cli.environment import Embedded, with_aws, with_config, with_embedded
from jobqueue_cli.plan import UpOptions, plan_up
from jobqueue_core.settings.errors import SettingsError
from jobqueue_core.settings.load import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = Embedded(database_port=1, queue_port=2, sample_port=3)
NONE = Embedded(database_port=None, queue_port=None, sample_port=None)
CONFIG = Path(__file__).parents[3] / "config"


def test_the_packaged_settings_are_those_of_the_local_environment() -> None:
    packaged = yaml.safe_load((environment.DEFAULTS_DIR / "application.yaml").read_text())
    local = yaml.safe_load((CONFIG / "application.local.yaml").read_text())

    assert packaged == {name: section for name, section in local.items() if name != "mongodb"}


def test_without_a_config_folder_the_packaged_settings_are_used(tmp_path: Path) -> None:
    env = with_embedded(with_config({}, tmp_path / "config"), ALL)

    settings = load_settings(env)

    assert settings.scaling.scale_down.stabilization_seconds == 5
    assert settings.mongodb.uri.get_secret_value() == "mongodb://127.0.0.1:1/?retryWrites=false"
    assert settings.mongodb.guard_index
    assert settings.sqs.create
    assert settings.processor.url == "http://127.0.0.1:3/jobs"


def test_a_config_folder_is_used_with_its_local_settings(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text("scaling: { max_replicas: 9 }")

    assert with_config({}, tmp_path) == {"JOBQUEUE_CONFIG_DIR": str(tmp_path)}
    (tmp_path / "application.local.yaml").write_text("")
    assert with_config({}, tmp_path)["JOBQUEUE_ENV"] == "local"
    assert with_config({"JOBQUEUE_ENV": "staging"}, tmp_path)["JOBQUEUE_ENV"] == "staging"


def test_a_named_config_folder_wins_over_the_working_directorys(tmp_path: Path) -> None:
    named = tmp_path / "named"
    (tmp_path / "application.yaml").write_text("")

    assert with_config({"JOBQUEUE_CONFIG_DIR": str(named)}, tmp_path)["JOBQUEUE_CONFIG_DIR"] == str(named)


def test_an_environment_without_its_files_is_left_to_the_settings_to_refuse(tmp_path: Path) -> None:
    assert with_config({"JOBQUEUE_ENV": "staging"}, tmp_path) == {"JOBQUEUE_ENV": "staging"}


def test_what_the_user_set_wins_over_what_the_embedded_parts_want() -> None:
    own = {"JOBQUEUE_SQS__RECEIVE_WAIT_SECONDS": "7", "JOBQUEUE_PROCESSOR__TIMEOUT_SECONDS": "9"}

    env = with_embedded(own, ALL)

    assert own.items() <= env.items()


def test_nothing_is_added_for_parts_that_the_user_brings_along() -> None:
    assert with_embedded({"JOBQUEUE_MONGODB__URI": "mongodb://own"}, NONE) == {
        "JOBQUEUE_MONGODB__URI": "mongodb://own"
    }


def test_real_credentials_do_not_reach_the_embedded_queue() -> None:
    env = with_aws({"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SESSION_TOKEN": "t"}, 2)

    assert env["AWS_ENDPOINT_URL_SQS"] == "http://127.0.0.1:2"
    assert env["AWS_ACCESS_KEY_ID"] == "jobqueue"
    assert not env.keys() & {"AWS_PROFILE", "AWS_SESSION_TOKEN"}


def test_credentials_are_kept_where_secrets_are_to_be_read() -> None:
    own = {"AWS_PROFILE": "prod", "AWS_REGION": "eu-central-1"}

    assert own.items() <= with_aws(own, 2, keep_credentials=True).items()


@pytest.mark.parametrize(
    ("name", "value", "is_left_out"),
    [
        ("JOBQUEUE_MONGODB__URI", "mongodb://own", lambda embedded: embedded.database_port is None),
        ("AWS_ENDPOINT_URL_SQS", "http://own:1", lambda embedded: embedded.queue_port is None),
        ("AWS_ENDPOINT_URL", "http://own:1", lambda embedded: embedded.queue_port is None),
        ("JOBQUEUE_PROCESSOR__URL", "http://own:1/x", lambda embedded: embedded.sample_port is None),
    ],
)
def test_a_part_that_the_environment_names_is_not_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    is_left_out: Callable[[Embedded], bool],
) -> None:
    monkeypatch.chdir(tmp_path)

    plan = plan_up(UpOptions(data_dir=tmp_path, port=0), {name: value})

    assert is_left_out(plan.embedded)
    assert plan.env[name] == value


def test_options_are_the_short_form_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"JOBQUEUE_API__PORT": "7000", "JOBQUEUE_SCALING__MAX_REPLICAS": "3"}
    defaults = {"JOBQUEUE_SCALING__MAX_REPLICAS": "2", "JOBQUEUE_RETRY__MAX_ATTEMPTS": "2"}

    plan = plan_up(UpOptions(data_dir=tmp_path, host="0.0.0.0", concurrency=5, defaults=defaults), own)  # noqa: S104

    assert (plan.settings.worker.concurrency, plan.settings.scaling.max_replicas) == (5, 3)
    assert plan.settings.retry.max_attempts == 2
    assert plan.url == "http://127.0.0.1:7000"
    assert plan_up(UpOptions(data_dir=tmp_path, port=7001), own).port == 7001


def test_an_option_that_breaks_a_rule_between_settings_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match=r"scaling\.min_replicas: must be at most"):
        plan_up(UpOptions(data_dir=tmp_path, max_workers=1), {"JOBQUEUE_SCALING__MIN_REPLICAS": "2"})
