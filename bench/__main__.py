"""Run the benchmarks: `python -m bench [latency] [worker] [api] [--quick]`."""

from __future__ import annotations

import sys

from bench import latency, submission, throughput
from bench.runner import Benchmarks

BENCHMARKS = Benchmarks(
    program="python -m bench",
    description=__doc__,
    sections={
        "latency": latency.measure,
        "worker": throughput.measure,
        "api": submission.measure,
    },
)

if __name__ == "__main__":
    sys.exit(BENCHMARKS.main())
