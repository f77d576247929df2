"""Operations that read their request themselves, because they are called most."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class RawRoute(APIRoute):
    """Calls its endpoint with the request and sends the answer as it is.

    What FastAPI does in between (solving dependencies, validating the answer) costs more than a whole
    submission. The OpenAPI document is made as ever.
    """

    def get_route_handler(self) -> Handler:
        """Return the endpoint itself."""
        return cast("Handler", self.endpoint)
