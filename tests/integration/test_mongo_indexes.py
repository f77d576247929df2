"""Every query that the store really makes is held against the declared indexes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
from pymongo import AsyncMongoClient, monitoring

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.indexes import (
    INDEXES,
    JOBS,
    KEYS,
    REDRIVES,
    RETIRED,
    SHAPES,
    WORKERS,
    Shape,
)
from jobqueue_core.adapters.mongo.redrives import MongoRedriveStore
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.job import Phase, Status
from jobqueue_core.domain.redrives import Redrive, taken
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, cancel, note_sent
from jobqueue_core.ports.store import JobFilter, JobStore
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import IDLE_BEAT, RULES
from jobqueue_testsupport.query_shapes import (
    Command,
    QueryRecorder,
    id_index,
    is_declared,
    is_served,
    serves,
    shapes_of,
    stages,
)

if TYPE_CHECKING:
    from jobqueue_core.ports.redrives import RedriveStore
    from jobqueue_testsupport.factories import JobFactory
    from jobqueue_testsupport.report import BackendReport

OPTIONS = ("unique", "sparse", "expireAfterSeconds", "partialFilterExpression")
EVERY_INDEX = (*INDEXES, id_index(JOBS), id_index(KEYS), id_index(REDRIVES), id_index(WORKERS))


@pytest.fixture(scope="module")
def recorder() -> QueryRecorder:
    """Listen to every client made from now on."""
    listener = QueryRecorder()
    monitoring.register(listener)
    return listener


class Used:
    """A store that remembers which of its methods were used."""

    def __init__(self, store: MongoJobStore) -> None:
        self.store = store
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> object:
        self.names.add(name)
        return getattr(self.store, name)


async def use_everything(store: JobStore, job_factory: JobFactory) -> None:
    """Call each operation in each of its forms."""
    await store.prepare()
    await store.ping()
    await store.time()
    jobs = [*job_factory.many(20, idempotency_key=None), *(job_factory(phase) for phase in Phase)]
    await store.insert([*jobs, job_factory(idempotency_key="k")])
    await store.insert([job_factory(idempotency_key="k")])
    await store.insert([job_factory(idempotency_key="old", idempotency_until=START)])
    await store.insert([job_factory(idempotency_key="old")])
    await store.insert([jobs[0]])
    await store.get(jobs[0].id)
    await store.get_many([job.id for job in jobs])
    claim = begin(jobs[0], owner="w", token="w", expires_at=later(START, 60), now=START)
    await store.apply([claim, cancel(jobs[1], rules=RULES, token="c", now=START)])
    await store.apply([begin(jobs[0], owner="v", token="v", expires_at=later(START, 60), now=START)])
    await store.offer([note_sent(jobs[2], START)])
    for queue in (None, "jobs"):
        for status, phase in [
            (None, None),
            (Status.PENDING, None),
            (Status.FAILED, None),
            (None, Phase.RUNNING),
        ]:
            for before in (None, jobs[5].id):
                for start, end in [
                    (None, None),
                    (START, None),
                    (None, later(START, 9)),
                    (START, later(START, 9)),
                ]:
                    which = JobFilter(
                        queue=queue, status=status, phase=phase, created_from=start, created_before=end
                    )
                    await store.page(which, limit=5, before=before)
    failures = JobFilter(queue="jobs", phase=Phase.FAILED, fingerprint="f")
    for edge in (None, jobs[5].id):
        await store.page(failures, limit=5, before=edge)
        await store.failed_after("jobs", limit=5, after=edge)
        await store.failed_after("jobs", limit=5, fingerprint="f", after=edge)
    await store.failed_count("jobs")
    await store.failure_groups("jobs", 5)
    await store.due(later(START, 60), 10)
    await store.waiting_since("jobs", later(START, 60), 10)
    await store.first_of_keys([job_factory(ordering_key="k")])
    await store.counts("jobs")
    await store.unfinished("jobs", 10)
    await store.oldest_waiting("jobs")
    await store.beat(IDLE_BEAT, 3600)
    await store.workers("jobs", later(START, -1))
    await store.backlogs(["jobs", "others"])
    await store.workers_of(["jobs", "others"], later(START, -1))
    await store.leave("w")


async def use_redrives(store: RedriveStore) -> None:
    """Call each operation of redrives."""
    task = Redrive(id="task", queue="jobs", created_at=START, updated_at=START)
    await store.prepare()
    await store.create(task)
    await store.get("task")
    await store.of_queue("jobs", 5)
    await store.running(5)
    await store.write(task, taken(task, token="t", now=START))


@pytest.fixture
async def queries(
    recorder: QueryRecorder, embedded_mongo_uri: str, mongo_database: str, job_factory: JobFactory
) -> list[Command]:
    """Every command by a filter that the store makes, all its operations having been used."""
    driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
    store = MongoJobStore(driver)
    used = Used(store)
    with recorder.recording(mongo_database) as commands:
        await use_everything(used, job_factory)  # type: ignore[arg-type] # it passes everything on
        await use_redrives(MongoRedriveStore(driver))
    await store.close()
    declared = {
        name for name, _ in inspect.getmembers(JobStore, inspect.isfunction) if not name.startswith("_")
    }
    assert used.names == declared - {"close"}, "use_everything leaves an operation out"
    return commands


def recorded_shapes(commands: list[Command]) -> set[Shape]:
    return {shape for command in commands for shape in shapes_of(command)}


async def test_every_query_is_declared_and_every_declared_query_is_made(queries: list[Command]) -> None:
    found = recorded_shapes(queries)
    matches = {shape: [name for name in SHAPES if is_declared(shape, SHAPES[name])] for shape in found}
    assert [shape for shape, names in matches.items() if not names] == []
    assert {name for names in matches.values() for name in names} == set(SHAPES)


async def test_every_query_is_served_by_an_index(queries: list[Command]) -> None:
    unserved = [
        shape for shape in recorded_shapes(queries) if not any(serves(index, shape) for index in EVERY_INDEX)
    ]
    assert unserved == []


@pytest.mark.parametrize("name", SHAPES)
def test_every_declared_query_is_served_by_an_index(name: str) -> None:
    assert [index.name for index in EVERY_INDEX if serves(index, SHAPES[name])]


async def test_a_real_server_uses_an_index_and_sorts_nothing_in_memory(
    queries: list[Command],
    embedded_mongo_uri: str,
    mongo_database: str,
    mongo_is_embedded: bool,  # noqa: FBT001
    backends: BackendReport,
) -> None:
    if mongo_is_embedded:
        backends.skip("explain checks", "set JOBQUEUE_TEST_MONGO_URI to a real MongoDB")
    async with AsyncMongoClient[Command](embedded_mongo_uri) as client:
        for command in single_queries(queries):
            explained = await client[mongo_database].command(
                {"explain": command, "verbosity": "queryPlanner"}
            )
            assert is_served(stages(explained)), (command, stages(explained))
            if shapes_of(command)[0].reads:
                assert "FETCH" not in stages(explained), command


def single_queries(commands: list[Command]) -> list[Command]:
    """Return one command of each shape; explain takes one write at a time."""
    chosen: dict[tuple[str, Shape], Command] = {}
    for command in commands:
        name = next(iter(command))
        entries = {"update": "updates", "delete": "deletes"}.get(name)
        single = [command] if entries is None else [{**command, entries: [each]} for each in command[entries]]
        for one in single:
            chosen.setdefault((name, shapes_of(one)[0]), one)
    return list(chosen.values())


async def test_preparing_creates_the_declared_indexes(embedded_mongo_uri: str, mongo_database: str) -> None:
    driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
    store = MongoJobStore(driver)
    for each in (store, MongoRedriveStore(driver)):
        await each.prepare()
        await each.prepare()
    await store.close()
    async with AsyncMongoClient[Command](embedded_mongo_uri) as client:
        found = {
            (collection, name): (dict(index["key"]), {option: index.get(option) for option in OPTIONS})
            for collection in (JOBS, KEYS, REDRIVES, WORKERS)
            for name, index in (await client[mongo_database][collection].index_information()).items()
            if name != "_id_"
        }
    assert {key: (dict(keys), options) for key, (keys, options) in found.items()} == {
        (index.collection, index.name): (
            dict(index.keys),
            {option: dict(index.options).get(option) for option in OPTIONS},
        )
        for index in INDEXES
    }


async def test_preparing_drops_an_index_of_an_earlier_version(
    embedded_mongo_uri: str, mongo_database: str
) -> None:
    """Left behind, it would refuse a job whose idempotency key has come free."""
    store = MongoJobStore(open_driver("pymongo", embedded_mongo_uri, mongo_database))
    async with AsyncMongoClient[Command](embedded_mongo_uri) as client:
        for collection, name in RETIRED:
            await client[mongo_database][collection].create_index("some", name=name)
        await store.prepare()
        for collection, name in RETIRED:
            assert name not in await client[mongo_database][collection].index_information()
    await store.close()
