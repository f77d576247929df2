"""Run the cluster's benchmarks: `python -m bench.cluster [woken] [polled] [burst] [rest] [many] [--quick]`.

No nodes are needed: what is measured ends with the number of replicas that is written.
"""

from __future__ import annotations

import sys

from bench.cluster import burst, many, polled, rest, woken
from bench.runner import Benchmarks

BENCHMARKS = Benchmarks(
    program="python -m bench.cluster",
    description=__doc__,
    sections={
        "woken": woken.measure,
        "polled": polled.measure,
        "burst": burst.measure,
        "rest": rest.measure,
        "many": many.measure,
    },
    results="cluster-",
)

if __name__ == "__main__":
    sys.exit(BENCHMARKS.main())
