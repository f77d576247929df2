"""Claims jobs for messages, many at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_core import failpoints
from jobqueue_core.batching import Batcher
from jobqueue_core.domain.claims import Verdict, judge, judge_missing
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.times import later, seconds_until
from jobqueue_core.domain.transitions import Transition, begin, give_up_lost

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import JobStore
    from jobqueue_worker.held import Held

_BATCH = 50
# One at a time: what comes meanwhile makes the next batch fuller and all of them cheaper.
_IN_FLIGHT = 1
# Another worker was quicker: judged anew after this.
_RACE_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What to do with a message, and the job as it now stands.

    With RUN the job is claimed and its attempt begun; with EXHAUSTED it has been failed.
    On a FIFO queue it may be another job than the message's: the first of its key.
    """

    verdict: Verdict
    job: Job | None
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Asked:
    job_id: str
    held: Held


class Claimer:
    """Reads the jobs of a batch of messages in one query and claims those that may run in one write."""

    def __init__(
        self,
        *,
        store: JobStore,
        rules: JobRules,
        clock: Clock,
        worker_id: str,
        new_token: Callable[[], str],
    ) -> None:
        """Take who claims, and where."""
        self._store = store
        self._rules = rules
        self._clock = clock
        self._worker_id = worker_id
        self._new_token = new_token
        self._batcher: Batcher[_Asked, Claim] = Batcher(
            self._claim, max_size=_BATCH, max_in_flight=_IN_FLIGHT
        )
        # Claims of which nobody knows whether they have landed.
        self._doubtful: dict[Held, Transition] = {}

    async def claim(self, job_id: str, held: Held) -> Claim:
        """Judge the message and claim its job where it may run.

        Raises:
            StoreUnavailableError: nothing is known and nothing was claimed for certain.

        """
        return await self._batcher.submit(_Asked(job_id, held))

    async def _claim(self, asked: list[_Asked]) -> list[Claim]:
        jobs = await self._store.get_many([one.job_id for one in asked])
        now = self._clock.now()
        # One lease for the whole batch, so that its claims are one write. It ends when the first
        # of the messages becomes visible: whoever receives that next may run it.
        deadline = min(one.held.deadline for one in asked)
        expires_at = later(now, max(0.001, deadline - self._clock.monotonic()))
        token = self._new_token()
        claims: list[Claim] = []
        writes: dict[int, Transition] = {}
        taken: set[str] = set()
        if self._rules.fifo:
            # The order of a key is that of its jobs, not of their messages: an outage, or a process that
            # died, may have had a later one sent first, and a queue may lose one.
            jobs |= await self._store.first_of_keys([*jobs.values()])
        for position, one in enumerate(asked):
            job = jobs.get(one.job_id)
            if job is not None and self._landed(one.held, job, now):
                taken.add(job.id)
                claims.append(Claim(Verdict.RUN, job))
                continue
            judgement = (
                judge_missing(one.job_id, now, self._rules.retention)
                if job is None
                else judge(job, now, self._rules.retry)
            )
            claim = Claim(judgement.verdict, job, judgement.wait_seconds)
            if job is not None and judgement.verdict in (Verdict.RUN, Verdict.EXHAUSTED):
                if job.id in taken:
                    # Two messages of one job in one batch: the other one has it.
                    claim = Claim(Verdict.WAIT, job, _RACE_WAIT_SECONDS)
                else:
                    taken.add(job.id)
                    # Message and lease are extended together from here on.
                    one.held.deadline = deadline
                    writes[position] = (
                        begin(job, owner=self._worker_id, token=token, expires_at=expires_at, now=now)
                        if judgement.verdict is Verdict.RUN
                        else give_up_lost(job, rules=self._rules, token=token, now=now)
                    )
            claims.append(claim)
        failpoints.hit("worker.before_claim")
        try:
            landed = await self._store.apply(list(writes.values()))
        except StoreUnavailableError:
            self._doubtful.update({asked[position].held: write for position, write in writes.items()})
            raise
        failpoints.hit("worker.after_claim")
        for (position, write), is_ours in zip(writes.items(), landed, strict=True):
            if is_ours:
                claims[position] = Claim(claims[position].verdict, write.after)
            else:
                claims[position] = Claim(Verdict.WAIT, write.before, _RACE_WAIT_SECONDS)
        return claims

    def _landed(self, held: Held, job: Job, now: datetime) -> bool:
        """Tell whether an earlier claim for this message has landed though its answer was lost.

        Judged anew, the job would wait for its own lease, and be taken for one that has lost its worker.
        """
        claim = self._doubtful.pop(held, None)
        if claim is None or job.phase is not Phase.RUNNING or job.lease != claim.after.lease:
            return False
        left = seconds_until(claim.after.lease.expires_at or now, now)
        held.deadline = min(held.deadline, self._clock.monotonic() + left)
        return True

    async def close(self) -> None:
        """Finish claims under way."""
        await self._batcher.close()
