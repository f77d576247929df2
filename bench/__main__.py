"""Run the benchmarks: `python -m bench [latency] [worker] [api] [flow] [--quick]`."""

from __future__ import annotations

import sys

from bench import flow, latency, submission, throughput
from bench.runner import Benchmarks

BENCHMARKS = Benchmarks(
    program="python -m bench",
    description=__doc__,
    sections={
        "latency": latency.measure,
        "worker": throughput.measure,
        "api": submission.measure,
        "flow": flow.measure,
    },
)

if __name__ == "__main__":
    sys.exit(BENCHMARKS.main())
