"""What can go wrong with the database, in the product's own words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from pymongo.errors import BulkWriteError, PyMongoError

from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobqueue_core.adapters.mongo.drivers import Document

_SHOWN = 500
_DUPLICATE_KEY = 11000


@contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Turn the driver's errors into the product's own, the cause chained.

    Raises:
        StoreUnavailableError: the driver raised an error; the text begins with `what`.

    """
    try:
        yield
    except PyMongoError as error:
        msg = f"{what}: {type(error).__name__}: {error}"[:_SHOWN]
        raise StoreUnavailableError(msg) from error


def duplicates(error: BulkWriteError) -> set[int]:
    """Return the positions of what could not be inserted because its key is taken.

    Raises:
        BulkWriteError: the given one, where anything else went wrong.

    """
    details = cast("Document", error.details)
    entries = cast("list[Document]", details.get("writeErrors", []))
    if details.get("writeConcernErrors") or any(entry["code"] != _DUPLICATE_KEY for entry in entries):
        raise error
    return {entry["index"] for entry in entries}
