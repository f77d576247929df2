"""Recurring jobs in the settings: where they belong, and what is refused before anything starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.assembly import recurrences
from jobqueue_core.domain.recurrence import Missed, Recurrence
from jobqueue_core.settings.errors import SettingsError

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Load

TEXT = """
schedules:
  nightly: {cron: "0 3 * * *", time_zone: Europe/Berlin}
  digest: {cron: "0 6 * * mon-fri", payload: {kind: digest, to: [{name: ada}], n: 1.5, none: null}}
queues:
  default: {schedules: {nightly: {cron: "0 4 * * *"}, own: {cron: "* * * * *"}}}
  emails:
    schedules:
      sweep:
        cron: "*/10 * * * *"
        missed: all
        max_attempts: 9
        timeout_seconds: 2.5
        ordering_key: sweep
        labels: {team: mail}
        suspended: true
  reports: {}
"""


def test_each_queue_has_its_own_and_the_default_queue_those_of_the_top_level(load: Load) -> None:
    settings = load(TEXT)
    assert {name: list(settings.queue(name).schedules) for name in settings.queue_names} == {
        "default": ["nightly", "digest", "own"],
        "emails": ["sweep"],
        "reports": [],
    }
    assert settings.queue("default").schedules["nightly"].cron == "0 4 * * *"


def test_every_field_reaches_the_recurrence(load: Load) -> None:
    settings = load(TEXT)
    assert recurrences("emails", settings.queue("emails").schedules) == (
        Recurrence(
            queue="emails",
            name="sweep",
            cron="*/10 * * * *",
            missed=Missed.ALL,
            max_attempts=9,
            timeout_seconds=2.5,
            ordering_key="sweep",
            labels={"team": "mail"},
            suspended=True,
        ),
    )
    digest = recurrences("default", settings.queue().schedules)[1]
    assert (digest.time_zone, digest.missed) == ("UTC", Missed.LATEST)
    assert digest.payload == {"kind": "digest", "to": [{"name": "ada"}], "n": 1.5, "none": None}


def test_the_environment_may_say_it_all(load: Load) -> None:
    schedule = {"cron": "0 3 * * *", "payload": {"Kind": "x"}}
    settings = load(
        "{}",
        {
            "JOBQUEUE_SCHEDULES": json.dumps({"Nightly": schedule}),
            "JOBQUEUE_QUEUES__EMAILS__SCHEDULES__SWEEP__CRON": "* * * * *",
        },
    )
    (nightly,) = recurrences("default", settings.queue().schedules)
    assert (nightly.name, nightly.payload) == ("Nightly", {"Kind": "x"})
    assert list(settings.queue("emails").schedules) == ["sweep"]


@pytest.mark.parametrize(
    ("text", "path", "rule"),
    [
        ('a: {cron: "0 3 * *"}', "schedules.a.cron", "must be a cron expression of five fields"),
        ('a: {cron: "0 0 31 2 *"}', "schedules.a.cron", "must be a cron expression of a time that comes"),
        ('a: {cron: "0 25 * * *"}', "schedules.a.cron", "(bad hour)"),
        (f'a: {{cron: "{"0," * 50}0 3 * * *"}}', "schedules.a.cron", "must be at most 100 characters"),
        ("a: {}", "schedules.a.cron", "is required"),
        (
            'a: {cron: "0 3 * * *", time_zone: Mars/Base}',
            "schedules.a.time_zone",
            "must be the name of a time zone of the IANA database",
        ),
        ('a: {cron: "0 3 * * *", missed: never}', "schedules.a.missed", "must be skip or latest or all"),
        (
            'a: {cron: "0 3 * * *", payload: {day: 2026-01-01}}',
            "schedules.a.payload",
            "must be a JSON object",
        ),
        ('a: {cron: "0 3 * * *", payload: {n: .inf}}', "schedules.a.payload", "must be a JSON object"),
        ('a: {cron: "0 3 * * *", payload: [1]}', "schedules.a.payload", "must be a mapping"),
        ('a: {cron: "0 3 * * *", labels: {"a b": c}}', "schedules.a.labels", "must be at most 15 texts"),
        ('a: {cron: "0 3 * * *", ordering_key: "a b"}', "schedules.a.ordering_key", "must be 1 to 128"),
        ('a: {cron: "0 3 * * *", max_attempts: 0}', "schedules.a.max_attempts", "from 1 to 100"),
        ('a: {cron: "0 3 * * *", timeout_seconds: 0}', "schedules.a.timeout_seconds", "above 0"),
        ('a: {cron: "0 3 * * *", tz: UTC}', "schedules.a.tz", "unknown setting"),
        ('"a b": {cron: "0 3 * * *"}', "schedules.a b", "must be 1 to 63 letters, digits, - and _"),
    ],
)
def test_a_bad_schedule_is_refused_with_its_field_and_rule(
    load: Load, text: str, path: str, rule: str
) -> None:
    for above, at in (("", ""), ("queues: {emails: ", "queues.emails.")):
        with pytest.raises(SettingsError) as refused:
            load(f"{above}{{schedules: {{{text}}}}}" + ("}" if above else ""))
        (problem,) = refused.value.errors
        assert problem.path == at + path
        assert rule in problem.rule


def test_two_of_one_name_are_refused(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"schedules\.a"):
        load('schedules:\n  a: {cron: "0 3 * * *"}\n  a: {cron: "0 4 * * *"}\n')
