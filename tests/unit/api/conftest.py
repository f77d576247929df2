"""The API on fakes, running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from jobqueue_testsupport.api_rig import ApiRig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx


@pytest_asyncio.fixture
async def rig() -> ApiRig:
    """Everything behind the API."""
    return ApiRig()


@pytest_asyncio.fixture
async def client(rig: ApiRig) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running API."""
    async with rig.serve() as client:
        yield client
