"""One line an event: JSON for machines, coloured text for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Literal

import structlog
import structlog.tracebacks

if TYPE_CHECKING:
    from structlog.typing import Processor


def configure_logging(level: str, output: Literal["json", "console"], component: str) -> None:
    """Set up structlog and the standard library's logging to write to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        output: the form of a line.
        component: `api`, `worker`, …; on every line.

    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _component(component),
    ]
    renderer: list[Processor]
    if output == "json":
        # Without the variables of the frames: among them are connection strings, tokens and payloads.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderer = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback  # as above
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak up only when something is wrong: their chatter names URLs and payloads.
    root.setLevel(max(number, logging.WARNING))


def _component(component: str) -> Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["component"] = component
        return event

    return add
