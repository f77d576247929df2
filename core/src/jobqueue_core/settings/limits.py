"""How much an external service is asked for: the same fields in the settings and in the JobQueue.

Only their names differ there (snake case, camel case), which is for the class that has them to say.
"""

from __future__ import annotations

from pydantic import BaseModel, Field


class RateLimit(BaseModel):
    """How much the external service is asked for, by all workers of the queue together."""

    per_second: float | None = Field(
        default=None, gt=0, le=1_000_000, description="Calls begun a second at most; unset: no limit."
    )
    concurrent: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Calls at a time at most; unset: no limit."
    )


class CircuitBreaker(BaseModel):
    """When the external service is left alone because it fails, by all workers of the queue together."""

    enabled: bool = Field(default=True, description="Whether calls are ever stopped.")
    window_seconds: float = Field(
        default=30.0, ge=1, le=3600, description="Calls of this time are judged together."
    )
    minimum_calls: int = Field(
        default=20, ge=1, le=1_000_000, description="Fewer calls in the window never open the circuit."
    )
    failure_ratio: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of them that failed from which it opens: 5xx, time-outs and connection errors.",
    )
    open_seconds: float = Field(
        default=30.0,
        ge=0.1,
        le=43_200,
        description="How long no call begins; then one is let through, whose outcome closes the circuit or "
        "opens it again.",
    )
