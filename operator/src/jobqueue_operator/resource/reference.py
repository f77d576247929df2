"""The reference of the JobQueue resource, made from its definition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobqueue_operator.resource import names
from jobqueue_operator.resource.crd import definition, spec_schema, status_schema
from jobqueue_operator.resource.rule import VALIDATIONS
from jobqueue_operator.resource.schema import takes_any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobqueue_operator.resource.schema import Schema

EXAMPLE = """\
apiVersion: jobqueue.dev/v1alpha1
kind: JobQueue
metadata:
  name: emails
spec:
  queue:
    name: emails                 # or url; cannot be changed
    provision: true              # create and keep queue and dead-letter queue; false: they must exist
    deletionPolicy: Retain       # or Delete
    visibilityTimeoutSeconds: 60
    deadLetter: { maxReceiveCount: 10 }
  processor:
    url: https://service.example/jobs
    timeoutSeconds: 30
    headersFrom: [ { name: candidateKey, secretKeyRef: { name: processor, key: candidateKey } } ]
    rateLimit: { perSecond: 50, concurrent: 100 }
  retry: { maxAttempts: 3, backoff: { initialSeconds: 2, maxSeconds: 300, factor: 2 } }
  worker:
    scaleTargetRef: { name: jobqueue-worker }   # an existing Deployment (as the chart makes)
    # or template: {...}                        # the operator makes one for this queue
    concurrency: 10
  scaling:
    minReplicas: 0
    maxReplicas: 20
    target: { backlogPerReplica: 100 }          # exactly one of backlogPerReplica, drainSeconds
    pollSeconds: 5
    scaleUp: { maxFactor: 10 }
    scaleDown: { stabilizationSeconds: 60, protectBusy: true }
    zeroAfterSeconds: 120
    onUnknown: Hold                             # or replicas: n
    schedules: [ { cron: "0 8 * * 1-5", durationSeconds: 36000, minReplicas: 2 } ]
  schedules: [ { name: digest, cron: "0 6 * * *", timeZone: Europe/Berlin, payload: { kind: digest } } ]
  suspend: None                                 # Hold | HoldAndDrain
"""

_HEAD = f"""\
<!-- Made by `make crd`; change the model, not this file. -->

# JobQueue

One queue of jobs: its SQS queue, the external service that does the work, and the workers. API group
`{names.GROUP}`, version `{names.VERSION}`, namespaced, short name `{names.SHORT_NAME}`. How the number of
workers is found stands in [Scaling](scaling.md). Durations are in seconds.

```yaml
{EXAMPLE}```

The smallest one names a queue and who works for it:

```yaml
spec:
  queue: {{ name: emails }}
  worker: {{ scaleTargetRef: {{ name: jobqueue-worker }} }}
```

## What is checked, and where

The API server refuses what breaks a rule below, and says the rule. What a schema cannot say is told by the
condition `Ready` with reason `InvalidSpec`; the workers are then left as they are:

- `processor.url` is no http:// or https:// URL with a host, or holds a user or password;
- `scaling.onUnknown.replicas` is more than `maxReplicas`;
- a `timeZone` that the IANA database does not have;
- a `cron` of a day that no year has, as `0 0 31 2 *`;
- a key in `schedules[].labels` that is no label, or a `schedules[].payload` of more than 64 KiB.

## Commands

| command | effect |
|---|---|
| `kubectl get jq` | the columns below; `-o wide` shows more |
| `kubectl scale jq emails --replicas=3` | sets `scaling.minReplicas`: a floor, not a number |
| `kubectl wait jq emails --for=condition=Ready` | waits until queue and workers are as the spec says |

A HorizontalPodAutoscaler with a JobQueue as its target moves the same floor.

"""

_SCHEDULES = """
## Schedules

There are two kinds. A schedule of `spec.schedules` submits a job at each time of its `cron`: see
[Recurring jobs](../howto/recurring-jobs.md). A schedule of `spec.scaling.schedules` submits nothing, it is a
floor of workers: in force from each time of its `cron` for `durationSeconds`. Of floors that overlap the
highest `minReplicas` counts. A duration may be longer than the time between two beginnings: the floor is then
always in force.

`cron` has five fields: minute, hour, day of month, month, day of week.

| written | means |
|---|---|
| `*` | every value |
| `8`, `8-18`, `1,15` | a value, a range, a list |
| `*/15`, `8-18/2`, `10/20` | every 15th, every 2nd of a range, every 20th from 10 on |
| `jan`-`dec`, `sun`-`sat` | names of months and days; `0` and `7` are both Sunday |
| `L`, `LW` (day of month) | the last day, the last working day of a month |
| `5L`, `fri#2` (day of week) | the last Friday, the second Friday of a month |

Where day of month and day of week both name days, one of the two is enough; where one of them begins with
`*`, both must fit (as in Debian's cron).

The clocks are those of `timeZone`. A time that they skip counts at the first moment after the gap. A time
that occurs twice counts the first time only. Where minute or hour begins with `*`, the schedule is a rhythm:
it goes on through the time that occurs twice, and has nothing to make up for in the gap. Durations are
elapsed time. Both kinds follow these rules.
"""

_COLUMNS = "| column | field | meaning |\n|---|---|---|\n"
_SPEC = "| field | type | default | rule | meaning |\n|---|---|---|---|---|\n"
_STATUS = "| field | type | meaning |\n|---|---|---|\n"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def reference() -> str:
    """Return the reference as Markdown."""
    parts = [_HEAD, "## Columns\n\n", _COLUMNS, *map(_column, _columns())]
    parts += ["\n## Spec\n\n", _SPEC]
    for path, schema, required in _fields(spec_schema(), "spec"):
        kind, default, rules = _type(schema, path), _default(path, schema, required=required), _rules(schema)
        parts.append(_row(f"`{path}`", kind, default, rules, schema["description"]))
    parts += [_SCHEDULES, "\n## Status\n\n", _STATUS]
    for path, schema, _ in _fields(status_schema(), "status"):
        parts.append(_row(f"`{path}`", _type(schema, path), schema["description"]))
    return "".join(parts)


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Every field below a part, each before those below it: path, schema, whether it is required."""
    for name, child in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        yield below, child, name in schema.get("required", ())
        if child.get("type") == "array":
            yield from _fields(child["items"], f"{below}[]")
        else:
            yield from _fields(child, below)


def _columns() -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = definition()["spec"]["versions"]
    columns: list[dict[str, Any]] = versions[0]["additionalPrinterColumns"]
    return columns


def _column(column: Mapping[str, Any]) -> str:
    wide = " (`-o wide`)" if column.get("priority") else ""
    return _row(f"{column['name']}{wide}", f"`{column['jsonPath']}`", column["description"])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type(schema: Schema, path: str) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "type" not in schema:
        return "`Hold`, or object"
    if schema["type"] == "array":
        return f"list, each {_type(schema['items'], path)}"
    if schema["type"] == "object":
        if takes_any(schema):
            return "any object" if path == "spec.schedules[].payload" else "object as in a pod"
        return "map of strings" if "additionalProperties" in schema else "object"
    names_of = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    return "time" if schema.get("format") == "date-time" else names_of.get(schema["type"], "string")


def _default(path: str, schema: Schema, *, required: bool) -> str:
    if required:
        return "required"
    if "default" not in schema:
        return ""
    default = schema["default"]
    if isinstance(default, dict):
        return "of its fields"
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text}`" + (_readable(default) if path.endswith("Seconds") else "")


def _readable(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size and seconds % size == 0:
            return f" ({seconds / size:.15g} {unit})"
    return ""


def _rules(schema: Schema) -> str:
    told: list[str] = []
    if "type" in schema:
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None:
            told.append(f"above {low}" if schema.get("exclusiveMinimum") else f"at least {low}")
        if high is not None:
            told.append(f"at most {high}")
        if "maxItems" in schema:
            told.append(f"at most {schema['maxItems']} items")
        if "maxLength" in schema:
            told.append(f"at most {schema['maxLength']} characters")
        if "pattern" in schema:
            told.append(f"`{schema['pattern']}`")
    for validation in schema.get(VALIDATIONS, ()):
        field = validation.get("fieldPath", "").removeprefix(".")
        told.append(f"`{field}` {validation['message']}" if field else validation["message"])
    return "; ".join(dict.fromkeys(told))
