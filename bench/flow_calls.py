"""Workers that only wait for their turn and call: `python -m bench.flow_calls --workers a b --uri …`.

Each has a flow gate of its own and slots that always have a message at hand. The call is a wait; its begin
and end are appended to a file that all processes share, so that it knows also of those who are killed.
Prints one JSON object: the requests to the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.flow import MongoFlowStore
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.flow import FlowPolicy
from jobqueue_core.domain.job import JobResult
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.ports.queue import Received
from jobqueue_worker.flow import FlowGate
from jobqueue_worker.gate import StoreGate
from jobqueue_worker.held import Held

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.domain.flow import FlowState

_OK = of_answer(200, JobResult(200, ""))
_ROOM = 10


class _Counted:
    """A flow store that counts what it is asked."""

    def __init__(self, store: MongoFlowStore) -> None:
        self._store = store
        self.loads = 0
        self.swaps = 0
        self.lost = 0

    async def load(self, queue: str) -> FlowState | None:
        self.loads += 1
        return await self._store.load(queue)

    async def load_many(self, queues: Collection[str]) -> dict[str, FlowState]:
        return await self._store.load_many(queues)

    async def swap(self, before: FlowState, after: FlowState) -> bool:
        self.swaps += 1
        has_won = await self._store.swap(before, after)
        self.lost += not has_won
        return has_won


class _Witness:
    """Writes down when calls begin and end: one short line each, which the system appends as a whole."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, sign: str, worker: str) -> None:
        os.write(self._file, f"{sign} {time.monotonic():.6f} {worker}\n".encode())


async def _work(gate: FlowGate, worker: str, arguments: argparse.Namespace, witness: _Witness) -> None:
    """Take one message after the other, as long as the gate admits any."""
    while True:
        now = time.monotonic()
        held = Held(Received(id="m", receipt="r", body="", receive_count=1), now, now)
        if not await gate.admit(held):
            return
        witness.note("+", worker)
        await asyncio.sleep(arguments.call_seconds)
        witness.note("-", worker)
        gate.answered(held, _OK)


async def run(arguments: argparse.Namespace) -> dict[str, int]:
    """Call for as long as asked."""
    driver = open_driver("pymongo", arguments.uri, arguments.database)
    store, clock = _Counted(MongoFlowStore(driver)), SystemClock()
    gates = {
        worker: FlowGate(
            queue="bench",
            worker=worker,
            slots=arguments.slots,
            policy=FlowPolicy(per_second=arguments.per_second, concurrent=arguments.concurrent),
            store=store,
            gate=StoreGate(MongoJobStore(driver), clock),
            clock=clock,
        )
        for worker in arguments.workers
    }
    witness = _Witness(arguments.witness)
    running = [asyncio.create_task(gate.run()) for gate in gates.values()]
    calls = [
        asyncio.create_task(_work(gate, worker, arguments, witness))
        for worker, gate in gates.items()
        for _ in range(arguments.slots + _ROOM)
    ]
    await asyncio.sleep(arguments.seconds)
    for gate in gates.values():
        gate.stop()
    await asyncio.gather(*calls)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for gate in gates.values():
        await gate.close()
    await driver.close()
    return {"loads": store.loads, "swaps": store.swaps, "lost": store.lost}


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(prog="python -m bench.flow_calls", description=__doc__)
    add = parser.add_argument
    add("--uri", required=True)
    add("--database", required=True)
    add("--workers", nargs="+", required=True)
    add("--witness", required=True, help="file to which calls are appended")
    add("--per-second", type=float)
    add("--concurrent", type=int)
    add("--slots", type=int, default=10)
    add("--call-seconds", type=float, default=0.1)
    add("--seconds", type=float, default=12.0)
    sys.stdout.write(json.dumps(uvloop.run(run(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    main()
