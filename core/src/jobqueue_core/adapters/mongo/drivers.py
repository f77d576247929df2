"""The two drivers behind the one store: PyMongo's own asyncio API, and motor for those who pin it.

Their collections answer to the same calls; what differs (the client's class, how it is closed)
ends here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from pymongo import AsyncMongoClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

Document: TypeAlias = dict[str, Any]


class Driver(Protocol):
    """An open connection pool to one database."""

    def collection(self, name: str) -> AsyncCollection[Document]:
        """Return a collection of the database."""
        ...

    async def aggregate(self, collection: str, pipeline: Sequence[Document]) -> list[Document]:
        """Run an aggregation on a collection, its whole answer read."""
        ...

    async def command(self, name: str) -> Document:
        """Run an administrative command."""
        ...

    async def close(self) -> None:
        """Close the pool."""
        ...


def _options(timeout_seconds: float, max_pool_size: int) -> Document:
    milliseconds = int(timeout_seconds * 1000)
    return {
        "tz_aware": True,
        "w": "majority",
        "maxPoolSize": max_pool_size,
        "appname": "jobqueue",
        # One bound for server selection, connecting and the operation itself.
        "timeoutMS": milliseconds,
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
    }


class PyMongoDriver:
    """PyMongo's AsyncMongoClient."""

    def __init__(self, uri: str, database: str, *, timeout_seconds: float, max_pool_size: int) -> None:
        """Connect lazily: the first operation does."""
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(
            uri, **_options(timeout_seconds, max_pool_size)
        )
        self._database: AsyncDatabase[Document] = self._client[database]

    def collection(self, name: str) -> AsyncCollection[Document]:
        """Return a collection of the database."""
        return self._database[name]

    async def aggregate(self, collection: str, pipeline: Sequence[Document]) -> list[Document]:
        """Run an aggregation on a collection, its whole answer read."""
        cursor = await self._database[collection].aggregate(pipeline)
        return await cursor.to_list()

    async def command(self, name: str) -> Document:
        """Run an administrative command."""
        return await self._client.admin.command(name)

    async def close(self) -> None:
        """Close the pool."""
        await self._client.close()


class MotorDriver:
    """Motor's AsyncIOMotorClient: past its end of life, kept for users who pin it."""

    def __init__(self, uri: str, database: str, *, timeout_seconds: float, max_pool_size: int) -> None:
        """Connect lazily: the first operation does."""
        # Imported here, so that nobody else needs the package.
        from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415

        self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            uri, **_options(timeout_seconds, max_pool_size)
        )
        self._database = self._client[database]

    def collection(self, name: str) -> AsyncCollection[Document]:
        """Return a collection of the database."""
        # The methods the store uses have the same names, arguments and answers in both.
        return cast("AsyncCollection[Document]", self._database[name])

    async def aggregate(self, collection: str, pipeline: Sequence[Document]) -> list[Document]:
        """Run an aggregation on a collection, its whole answer read."""
        # Motor gives the cursor at once, PyMongo when the first part has come.
        answer: list[Document] = await self._database[collection].aggregate(pipeline).to_list(None)
        return answer

    async def command(self, name: str) -> Document:
        """Run an administrative command."""
        return await self._client.admin.command(name)

    async def close(self) -> None:
        """Close the pool."""
        self._client.close()


def open_driver(
    name: str, uri: str, database: str, *, timeout_seconds: float = 5.0, max_pool_size: int = 50
) -> Driver:
    """Open the driver of that name (`pymongo` or `motor`)."""
    drivers: dict[str, type[PyMongoDriver | MotorDriver]] = {"pymongo": PyMongoDriver, "motor": MotorDriver}
    return drivers[name](uri, database, timeout_seconds=timeout_seconds, max_pool_size=max_pool_size)
