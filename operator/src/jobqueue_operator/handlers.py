"""What kopf calls: nothing but handing on what the watches say, so that the controllers converge.

Only low-level event handlers are used: they keep no progress in annotations, put no finalizer on anything
and make no difference between created and changed. A handler never waits for the network; it is a coroutine
because kopf runs plain functions in threads.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import kopf

from jobqueue_operator.resource.names import GROUP, PLURAL, VERSION

if TYPE_CHECKING:
    from jobqueue_operator.cluster.fleet import Fleet

# A watch that says nothing for so long is opened anew: a connection can die without a word.
_WATCH_SECONDS = 300


def registry_of(fleet: Fleet) -> kopf.OperatorRegistry:
    """Return kopf's handlers for a fleet of controllers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 -- whatever else kopf passes
        # As `kube_configuration` of the other client: the pod's account unless a kubeconfig is named.
        found = None if os.environ.get("KUBECONFIG") else kopf.login_with_service_account(**kwargs)
        return found or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def jobqueue(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 -- whatever else kopf passes
        if event["type"] == "DELETED":
            fleet.jobqueue_gone(event["object"])
        else:
            fleet.jobqueue_seen(event["object"])

    @kopf.on.event("apps", "v1", "deployments", registry=registry)
    async def deployment(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 -- as above
        if event["type"] == "DELETED":
            fleet.deployment_gone(event["object"])
        else:
            fleet.deployment_seen(event["object"])

    return registry


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: it watches, and writes nothing at all."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # The operator waits for its CRD before the watches begin: no right to read all definitions is needed.
    settings.scanning.disabled = True
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.watching.client_timeout = _WATCH_SECONDS + 10
    settings.networking.error_backoffs = (0.5, 1, 2, 3, 5)
    for name in ("kopf.objects", "kopf.activities"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return settings
