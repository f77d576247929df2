"""Leader election by a Lease: of several operators one acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import structlog

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_operator.cluster import lease as rules
from jobqueue_operator.cluster import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.ports.clock import Clock

_log = structlog.get_logger(__name__)

# A holder renews thrice before anybody may take over, and stops acting when two thirds of the time are
# gone, so that there are never two.
_RENEWALS = 3
_STOP_AT = 2 / 3


class LeaseApi(Protocol):
    """What is needed of the API server."""

    async def get(self, path: str) -> dict[str, Any]:
        """Read an object."""
        ...

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object."""
        ...

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object that has not changed since it was read."""
        ...

    async def delete(self, path: str) -> None:
        """Delete an object."""
        ...


class Leadership:
    """Whether this process is the one that acts.

    Args:
        api: The API server.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Of this process, unique.
        duration_seconds: How long the others wait for a holder that is gone.
        clock: Time and waiting.
    """

    def __init__(
        self,
        api: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration_seconds: int,
        clock: Clock,
    ) -> None:
        self._api = api
        self._path = f"{paths.leases(namespace)}/{name}"
        self._collection = paths.leases(namespace)
        self._metadata = {"name": name, "namespace": namespace}
        self._identity = identity
        self._duration = duration_seconds
        self._clock = clock
        self._seen: rules.SeenLease | None = None
        self._renewed_at: float | None = None

    @property
    def held(self) -> bool:
        """Whether this process may act right now."""
        if self._renewed_at is None:
            return False
        return self._clock.monotonic() - self._renewed_at < self._duration * _STOP_AT

    async def acquire(self) -> None:
        """Return once this process holds the Lease."""
        while not await self._try():
            await self._clock.sleep(self._duration / _RENEWALS / 2)
        _log.info("leading", lease=self._path, identity=self._identity)

    async def keep(self) -> None:
        """Renew the Lease; return when it is lost."""
        while self.held:
            await self._clock.sleep(self._duration / _RENEWALS / (1 if await self._try() else 4))
        _log.error("leadership lost", lease=self._path, identity=self._identity)

    async def release(self) -> None:
        """Delete the Lease, so that another takes over at once, and nothing stays when all are gone."""
        self._renewed_at = None
        try:
            lease = await self._api.get(self._path)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._api.delete(self._path)
        except KubeError as error:
            _log.warning("the lease could not be given back", error=str(error))

    async def _try(self) -> bool:
        """Take or renew the Lease; False when another holds it or the API server does not answer."""
        # Taken before the request: the time that it was under way is not counted as held.
        at = self._clock.monotonic()
        try:
            try:
                lease = await self._api.get(self._path)
            except KubeError as error:
                if not error.not_found:
                    raise
                spec = rules.taken({}, self._identity, self._duration, self._clock.now())
                await self._api.create(self._collection, {**_KIND, "metadata": self._metadata, "spec": spec})
                self._renewed_at = at
                return True
            spec = lease.get("spec") or {}
            self._seen = rules.seen(spec, self._seen, at)
            if not rules.may_take(self._seen, self._identity, at):
                return False
            spec = rules.taken(spec, self._identity, self._duration, self._clock.now())
            await self._api.replace(self._path, {**lease, "spec": spec})
        except KubeError as error:
            if not error.conflict:
                _log.warning("the lease could not be renewed", error=str(error))
            return False
        self._renewed_at = at
        return True


_KIND = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
