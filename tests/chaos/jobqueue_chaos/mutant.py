"""Run a module of the product without one of its protections.

`python -m jobqueue_chaos.mutant NAME MODULE`
"""

from __future__ import annotations

import importlib
import sys

from jobqueue_chaos.mutants import MUTANTS


def main() -> None:
    """Take the protection out, then run the module's `main`."""
    name, module = sys.argv[1:3]
    sys.argv[1:] = []
    MUTANTS[name].apply()
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
