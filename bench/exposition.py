"""Reading the product's own counters."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
# What carries jobs, from send to delete; finding the queues at start and counting them carries none.
_CARRYING = (
    "send_message",
    "receive_message",
    "delete_message",
    "change_message_visibility",
)


def counters(text: str, metric: str, label: str) -> dict[str, float]:
    """Return a counter's samples, summed by one label."""
    found: dict[str, float] = {}
    for sample in _SAMPLE.finditer(text):
        if sample["name"] == metric:
            name = dict(_LABEL.findall(sample["labels"] or "")).get(label, "")
            found[name] = found.get(name, 0.0) + float(sample["value"])
    return found


def sqs_requests(text: str) -> dict[str, float]:
    """Return the requests to SQS that carried jobs, by operation."""
    found = counters(text, "jobqueue_sqs_requests_total", "operation")
    return {name: value for name, value in found.items() if name.removesuffix("_batch") in _CARRYING}
