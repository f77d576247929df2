"""`spec.queue`: the SQS queue and its dead-letter queue."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobqueue_core.settings.fields import FIFO_SUFFIX, SQS_NAME_MAX
from jobqueue_core.settings.queue import DEAD_LETTER_SUFFIX, dead_letter_name
from jobqueue_operator.resource.part import Part
from jobqueue_operator.resource.rule import Rule, matches

_SQS_NAME = r"[A-Za-z0-9_-]{1,%d}(\.fifo)?"

SqsName = Annotated[
    str,
    Field(max_length=SQS_NAME_MAX),
    matches(
        _SQS_NAME % SQS_NAME_MAX,
        "must be a queue name of SQS: 1 to 80 letters, digits, - and _, with .fifo at the end or not",
    ),
]
QueueUrl = Annotated[
    str,
    Field(max_length=2048),
    matches(
        r"https?://[^/\s]+/([^\s]*/)?" + _SQS_NAME % SQS_NAME_MAX,
        "must be the http:// or https:// URL of an SQS queue, which ends in the queue's name",
        also=(
            f"size(self) - self.lastIndexOf('/') <= {SQS_NAME_MAX + 1}",
            lambda url: len(url) - url.rfind("/") <= SQS_NAME_MAX + 1,
        ),
    ),
]
QueueName = Annotated[
    str,
    Field(max_length=SQS_NAME_MAX),
    matches(r"[A-Za-z0-9_-]{1,80}", "must be 1 to 80 letters, digits, - and _"),
]


class DeadLetterSpec(Part):
    """Where messages go that are given up."""

    name: SqsName | None = Field(
        default=None,
        description="Dead-letter queue in SQS. Unset: the queue's name with `-dead-letter` (before `.fifo`).",
    )
    max_receive_count: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Receives after which SQS itself moves a message to the dead-letter queue; at least "
        "3 × `retry.maxAttempts`, because shutdowns of workers consume receives too.",
    )


# The name of the queue in SQS, in CEL; empty where neither name nor URL is given (another rule tells that).
_NAME = (
    "(has(self.name) ? self.name : has(self.url) ? self.url.substring(self.url.lastIndexOf('/') + 1) : '')"
)
_IDENTITY_KEPT = "must not change: a JobQueue keeps its queue; make another JobQueue for another queue"


def _kept(field: str) -> Rule[QueueSpec]:
    return Rule(
        cel=f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=_IDENTITY_KEPT,
        holds=None,
        field=f".{field}",
        forbidden=True,
    )


_RULES: tuple[Rule[QueueSpec], ...] = (
    Rule(
        cel="has(self.name) != has(self.url)",
        message="must have exactly one of name and url",
        holds=lambda queue: (queue.name is None) != (queue.url is None),
    ),
    Rule(
        cel="!has(self.url) || !self.provision",
        message="must be false where url is given: only a queue with a name can be created",
        holds=lambda queue: queue.url is None or not queue.provision,
        field=".provision",
    ),
    Rule(
        cel=f"!has(self.fifo) || self.fifo == {_NAME}.endsWith('{FIFO_SUFFIX}')",
        message="must be true when and only when the queue's name ends in .fifo",
        holds=lambda queue: queue.fifo is None or queue.fifo == queue.is_fifo,
        field=".fifo",
    ),
    Rule(
        cel=f"!has(self.deadLetter.name) || self.deadLetter.name != {_NAME}",
        message="must be a queue of its own, not the queue itself",
        holds=lambda queue: queue.dead_letter.name != queue.sqs_name,
        field=".deadLetter.name",
    ),
    Rule(
        cel="!has(self.deadLetter.name) || "
        f"self.deadLetter.name.endsWith('{FIFO_SUFFIX}') == {_NAME}.endsWith('{FIFO_SUFFIX}')",
        message="must end in .fifo when and only when the queue's name does: "
        "a dead-letter queue is of the kind of its queue",
        holds=lambda queue: queue.dead_letter_name.endswith(FIFO_SUFFIX) == queue.is_fifo,
        field=".deadLetter.name",
    ),
    Rule(
        cel=f"has(self.deadLetter.name) || size({_NAME}) <= {SQS_NAME_MAX - len(DEAD_LETTER_SUFFIX)}",
        message=f"must be set: the default name is longer than the {SQS_NAME_MAX} characters of SQS",
        holds=lambda queue: len(queue.dead_letter_name) <= SQS_NAME_MAX,
        field=".deadLetter",
    ),
    *(_kept(field) for field in ("name", "url", "fifo", "jobs")),
)


class QueueSpec(Part):
    """The SQS queue that carries the jobs. Which queue it is cannot be changed."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _RULES

    name: SqsName | None = Field(
        default=None,
        description="Name in SQS; a name that ends in `.fifo` is a FIFO queue. Exactly one of `name` and "
        "`url`; immutable.",
    )
    url: QueueUrl | None = Field(
        default=None,
        description="The queue's URL in place of its name, for a queue of another account; `provision` must "
        "be false. Immutable.",
    )
    fifo: bool | None = Field(
        default=None,
        description="Whether it is a FIFO queue. Follows from the name; where it is given, it must agree. "
        "Immutable.",
    )
    jobs: QueueName | None = Field(
        default=None,
        description="Name by which jobs name the queue (`queue` of `POST /addJob`). Unset: its name in SQS "
        "without `.fifo`. Immutable.",
    )
    provision: bool = Field(
        default=True,
        description="Create the queue and its dead-letter queue, and keep their attributes as they are given "
        "here. false: they must exist.",
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What becomes of queues that were provisioned when the JobQueue is deleted. `Delete` "
        "waits while messages are in them, unless the annotation `jobqueue.dev/delete-messages` is `true`.",
    )
    visibility_timeout_seconds: int = Field(
        default=60,
        ge=1,
        le=43_200,
        description="How long a received message is hidden from other workers; longer than "
        "`processor.timeoutSeconds`. Workers extend it while they work.",
    )
    dead_letter: DeadLetterSpec = Field(
        default=DeadLetterSpec(), description="Where messages go that are given up."
    )

    @property
    def sqs_name(self) -> str:
        """Its name in SQS; the last part of the URL where that is given."""
        return self.name or (self.url or "").rsplit("/", 1)[-1]

    @property
    def is_fifo(self) -> bool:
        """Whether it is a FIFO queue (SQS demands the suffix)."""
        return self.sqs_name.endswith(FIFO_SUFFIX)

    @property
    def jobs_name(self) -> str:
        """The name by which jobs name the queue."""
        return self.jobs or self.sqs_name.removesuffix(FIFO_SUFFIX)

    @property
    def dead_letter_name(self) -> str:
        """The name of its dead-letter queue in SQS."""
        return self.dead_letter.name or dead_letter_name(self.sqs_name)

    @property
    def queue_identity(self) -> str:
        """What tells it from every other queue: the URL, or the name within the operator's account."""
        return self.url or self.sqs_name
