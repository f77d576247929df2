"""Observers that remember what they were told."""

from __future__ import annotations

from collections import Counter


class CountedRequests(Counter[tuple[str, str]]):
    """SQS requests by operation and outcome."""

    def sqs_request(self, operation: str, outcome: str) -> None:
        """Count one."""
        self[operation, outcome] += 1
