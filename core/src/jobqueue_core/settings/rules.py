"""Rules between settings, for every effective queue and for the whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from jobqueue_core.settings.env import unknown
from jobqueue_core.settings.errors import SettingProblem
from jobqueue_core.settings.fields import FIFO_SUFFIX, SQS_NAME_MAX
from jobqueue_core.settings.queue import dead_letter_name
from jobqueue_core.settings.schema import Path, dotted
from jobqueue_core.settings.secret_source import SECRETS, secret_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings

RECEIVES_PER_ATTEMPT = 3
"""Receives that each attempt may take: a worker's shutdown returns a message, and that is a receive too."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold.

    Attributes:
        path: The setting to name.
        got: The value at fault.
        involves: Every setting that the rule reads: while one of them is wrong in itself, it says nothing.
        compared: The value that it is held against; stands at `{}` of the rule.
    """

    path: Path
    rule: str
    got: str | None
    involves: tuple[Path, ...]
    compared: str | None = None

    def told(self, *, secret: bool) -> tuple[str, str | None]:
        """Return rule and value as they may be shown; where a secret is involved, without any value."""
        compared = "" if secret or self.compared is None else f" ({self.compared})"
        return self.rule.replace("{}", compared), None if secret else self.got


@dataclass(frozen=True, slots=True)
class _Pair:
    """A rule between two settings of a queue, told from either side."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    values: Callable[[QueueSettings], tuple[float, float]]
    holds: Callable[[float, float], bool]
    told_of_first: str
    told_of_second: str


_PAIRS = (
    _Pair(
        ("sqs", "visibility_timeout_seconds"),
        ("processor", "timeout_seconds"),
        lambda queue: (queue.sqs.visibility_timeout_seconds, queue.processor.timeout_seconds),
        lambda visible, timeout: visible > timeout,
        "must be longer than {}, or the message appears again while its job still runs",
        "must be shorter than {}, or the message appears again while its job still runs",
    ),
    _Pair(
        ("sqs", "dead_letter", "max_receive_count"),
        ("retry", "max_attempts"),
        lambda queue: (queue.sqs.max_receive_count, queue.retry.max_attempts),
        lambda receives, attempts: receives >= RECEIVES_PER_ATTEMPT * attempts,
        f"must be at least {RECEIVES_PER_ATTEMPT} × {{}}: shutdowns of workers consume receives too",
        f"{RECEIVES_PER_ATTEMPT} × this must be at most {{}}: shutdowns of workers consume receives too",
    ),
    _Pair(
        ("retry", "backoff", "initial_seconds"),
        ("retry", "backoff", "max_seconds"),
        lambda queue: (queue.retry.backoff.initial_seconds, queue.retry.backoff.max_seconds),
        lambda initial, most: initial <= most,
        "must be at most {}",
        "must be at least {}",
    ),
)


def violations(settings: Settings) -> tuple[Violation, ...]:
    """Return every rule that does not hold, each once however many queues inherit it."""
    found = [
        *(violation for name in settings.queue_names for violation in _queue(settings, settings.queue(name))),
        *_names(settings),
        *_scaling(settings),
        *_auth(settings),
        *_worker(settings),
    ]
    return tuple(dict.fromkeys(found))


def secret_problems(settings: Settings, source_of: Callable[[Path], str | None]) -> Iterator[SettingProblem]:
    """Yield the entries of `secrets` that give a value to no setting."""
    for name in settings.secrets:
        if secret_target(name) is None:
            rule = unknown(tuple(name.split(".")), None).rule.replace("unknown setting", "names no setting")
            at = (SECRETS, name)
            source = source_of((*at, "secret_id")) or source_of(at)
            yield SettingProblem(dotted(at), rule, source=source)


def _queue(settings: Settings, queue: QueueSettings) -> Iterator[Violation]:
    for pair in _PAIRS:
        first, second = (
            _located(settings, queue.name, pair.first),
            _located(settings, queue.name, pair.second),
        )
        values = pair.values(queue)
        if pair.holds(*values):
            continue
        involves = (first, second)
        if second != pair.second and first == pair.first:  # the queue's own setting is the one at fault
            rule = pair.told_of_second.replace("{}", dotted(first) + "{}")
            yield Violation(second, rule, f"{values[1]:.15g}", involves, f"{values[0]:.15g}")
        else:
            rule = pair.told_of_first.replace("{}", dotted(second) + "{}")
            yield Violation(first, rule, f"{values[0]:.15g}", involves, f"{values[1]:.15g}")
    yield from _sqs(settings, queue)


def _sqs(settings: Settings, queue: QueueSettings) -> Iterator[Violation]:
    sqs, name, url = (
        queue.sqs,
        _sqs_path(settings, queue, "queue_name"),
        _sqs_path(settings, queue, "queue_url"),
    )
    dead = _sqs_path(settings, queue, "dead_letter", "queue_name")
    involves = (name, url, dead)
    if sqs.queue_url and _is_set(settings, name):
        yield Violation(
            url, f"must not be set together with {dotted(name)}: the URL names the queue", None, involves
        )
    if sqs.queue_url and sqs.create:
        create = _located(settings, queue.name, ("sqs", "create"))
        yield Violation(
            create, f"must be false where {dotted(url)} is set: create needs a name", "true", involves
        )
    if len(sqs.dead_letter_queue_name) > SQS_NAME_MAX:
        rule = f"must be set: the default name is longer than the {SQS_NAME_MAX} characters of SQS"
        yield Violation(dead, rule, repr(sqs.dead_letter_queue_name), involves)
    if sqs.fifo != sqs.dead_letter_queue_name.endswith(FIFO_SUFFIX):
        must = "must end in" if sqs.fifo else "must not end in"
        rule = f"{must} {FIFO_SUFFIX}: a dead-letter queue is of the kind of its queue"
        yield Violation(dead, rule, repr(sqs.dead_letter_queue_name), involves)


def _names(settings: Settings) -> Iterator[Violation]:
    users: dict[str, list[Path]] = defaultdict(list)
    for queue in map(settings.queue, settings.queue_names):
        main = users[queue.sqs.queue_url or queue.sqs.queue_name]
        main.append(_sqs_path(settings, queue, "queue_name"))
        if len(main) > 1 and queue.sqs.dead_letter_queue_name == dead_letter_name(queue.sqs.queue_name):
            continue  # its dead-letter queue is the same by this alone
        dead = _sqs_path(settings, queue, "dead_letter", "queue_name")
        # A queue behind a URL may be of another account, and so may its dead-letter queue.
        users[
            f"{(queue.sqs.queue_url or '').rpartition('/')[0]} {queue.sqs.dead_letter_queue_name}".strip()
        ].append(dead)
    for sqs_name, paths in users.items():
        for path in paths[1:]:
            rule = f"must be a queue of its own: {dotted(paths[0])} is the same queue in SQS"
            yield Violation(path, rule, repr(sqs_name.rsplit("/", 1)[-1]), (path, paths[0]))
    known: dict[str, str] = {}
    for name in settings.queue_names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            rule = f"must differ from queue {other!r} in more than case: environment variables have none"
            yield Violation(("queues", name), rule, None, ())


def _scaling(settings: Settings) -> Iterator[Violation]:
    scaling, at = settings.scaling, ("scaling",)
    least, most, hold = (*at, "min_replicas"), (*at, "max_replicas"), (*at, "on_unknown")
    if scaling.min_replicas > scaling.max_replicas:
        rule = f"must be at most {dotted(most)}{{}}"
        yield Violation(least, rule, str(scaling.min_replicas), (least, most), str(scaling.max_replicas))
    if scaling.on_unknown.replicas is not None and scaling.on_unknown.replicas > scaling.max_replicas:
        rule, replicas = f"must be at most {dotted(most)}{{}}", str(scaling.on_unknown.replicas)
        yield Violation((*hold, "replicas"), rule, replicas, (hold, most), str(scaling.max_replicas))
    target = (*at, "target")
    given = [
        value
        for value in (scaling.target.backlog_per_replica, scaling.target.drain_seconds)
        if value is not None
    ]
    if len(given) != 1:
        both = "both are set, give one null" if given else "neither is set"
        rule = f"must have exactly one of backlog_per_replica and drain_seconds: {both}"
        yield Violation(target, rule, None, (target,))


def _worker(settings: Settings) -> Iterator[Violation]:
    at, queue = ("worker", "queue"), settings.worker.queue
    if queue is not None and queue not in settings.queue_names:
        rule = f"must be one of the queues: {', '.join(settings.queue_names)}"
        yield Violation(at, rule, repr(queue), (at,))


def _auth(settings: Settings) -> Iterator[Violation]:
    auth, enabled, keys = settings.api.auth, ("api", "auth", "enabled"), ("api", "auth", "keys")
    if auth.enabled and not auth.keys:
        yield Violation(enabled, "must be false while api.auth.keys is empty", "true", (enabled, keys))
    for name, count in Counter(key.name for key in auth.keys).items():
        if count > 1:
            yield Violation(keys, f"must have one key a name, one has {count}", repr(name), (keys,))


def _sqs_path(settings: Settings, queue: QueueSettings, *below: str) -> Path:
    """Return where a name of the queue is set or would be: the default queue takes it from the top level."""
    path = ("sqs", *below)
    return (
        _located(settings, queue.name, path)
        if queue.name == settings.default_queue
        else ("queues", queue.name, *path)
    )


def _located(settings: Settings, queue: str, path: tuple[str, ...]) -> Path:
    """Return where a setting of a queue comes from: its own, or the top level's."""
    own = ("queues", queue, *path)
    return own if _is_set(settings, own) else path


def _is_set(settings: Settings, path: Path) -> bool:
    here: object = settings
    for part in path:
        if isinstance(here, BaseModel) and part in here.model_fields_set:
            here = getattr(here, str(part))
        elif isinstance(here, dict) and part in here:
            here = here[part]
        else:
            return False
    return here is not None
