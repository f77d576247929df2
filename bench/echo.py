"""The peer of the API: the least that FastAPI can do with a JSON body.

python -m bench.echo PORT
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Body(BaseModel):
    """What comes, and what goes back."""

    queue: str | None = None
    payload: dict[str, Any] = {}


@app.post("/echo")
async def echo(body: Body) -> Body:
    """Return what came."""
    return body


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
