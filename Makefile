# Needs Python 3.11 or newer and make. Everything else is installed into .venv by `make setup`, which the other
# targets call when a lock or a pyproject.toml is newer than .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# The first Python here that is new enough; `make setup PYTHON=...` names another.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif
# Half of the tests wait for a process or a server; two at a time fill two cores.
TEST_PROCESSES ?= 2
PARTS := core services/api services/worker operator cli
PROJECTS := $(PARTS:%=%/pyproject.toml)

##@ Run

.PHONY: setup
setup: $(VENV)/.installed ## Make .venv: this repository (editable) and its locked dependencies
	@:

.PHONY: demo
demo: export JOBQUEUE_DEMO_STARTED := $(shell date +%s)
demo: setup ## Start the whole system on this machine, submit sample jobs, show them finish (Ctrl-C ends it)
	@$(BIN)/jobqueue demo $(ARGS)

.PHONY: up
up: setup ## Start the whole system on this machine and keep it up (ARGS="--port 8000 --max-workers 4")
	@$(BIN)/jobqueue up $(ARGS)

##@ Check

.PHONY: test
test: setup ## Run every tier that this machine can run; say what was not run, and why (ARGS="-k name")
	@$(BIN)/pytest -n $(TEST_PROCESSES) $(ARGS)

.PHONY: test-unit
test-unit: setup ## Run the unit tests only
	@$(BIN)/pytest tests/unit $(ARGS)

.PHONY: test-cluster
test-cluster: setup ## Run the operator's tests on a real Kubernetes API server, found or built (needs Go)
	@$(BIN)/pytest tests/cluster -n $(TEST_PROCESSES) $(ARGS)

.PHONY: e2e
e2e: setup ## Run the whole system on a real Kubernetes node: the current context's, or one started for it
	@tests/e2e/kubernetes/run $(ARGS)

.PHONY: model
model: setup ## Explore the protocol's interleavings and crashes for longer than `make test` does (EXAMPLES=3000)
	@JOBQUEUE_TEST_MODEL_EXAMPLES=$(or $(EXAMPLES),3000) $(BIN)/pytest tests/unit/model $(ARGS)

.PHONY: chaos
chaos: setup ## Kill, starve and confuse the real processes, then account for every job (SEED=7 ARGS="storm --quick")
	@PYTHONPATH=tests/chaos:tests/support $(BIN)/python -m jobqueue_chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: chaos-selftest
chaos-selftest: setup ## Take each protection out in turn and show that `make chaos` finds the fault
	@PYTHONPATH=tests/chaos:tests/support $(BIN)/python -m jobqueue_chaos selftest $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: lint
lint: setup ## Run every linter and type check
	@failed=; \
	check() { echo "── $$1"; shift; "$$@" || failed=1; }; \
	check "ruff check" $(BIN)/ruff check; \
	check "ruff format" $(BIN)/ruff format --check; \
	check "mypy" $(BIN)/mypy; \
	check "import rules" $(BIN)/lint-imports --no-logo; \
	check "locks name no host" bash -c '! grep -HnE "://|^ *--(index|extra-index|find-links)" requirements/*.txt requirements/*.in'; \
	test -z "$$failed" || { echo "make lint: failed"; exit 1; }

.PHONY: lint-chart
lint-chart: setup ## Check the chart: helm lint and kubeconform for every case of charts/jobqueue/ci (needs Go)
	@charts/jobqueue/lint $(BIN)/python

.PHONY: format
format: setup ## Format the code and repair what ruff can repair
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

.PHONY: bench
bench: setup ## Run the benchmarks: a table, and JSON in bench/results (ARGS=... picks)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: bench-cluster
bench-cluster: setup ## Run the operator's benchmarks on a real Kubernetes API server (ARGS="woken rest --quick" picks)
	@PYTHONPATH=tests/support $(BIN)/python -m bench.cluster $(ARGS)

##@ Images

.PHONY: images
images: ## Build localhost/jobqueue-{api,worker,operator}:dev (ARGS=worker: that one)
	@deploy/images/build $(ARGS)

##@ Generate

.PHONY: lock
lock: $(VENV)/.bootstrapped ## Write the locked requirements anew (ARGS=--upgrade: with the newest versions)
	@requirements/lock $(ARGS)

.PHONY: lock-check
lock-check: $(VENV)/.bootstrapped ## Fail when a lock is stale (UV_OFFLINE=1: without a network, from the cache)
	@requirements/lock --check

.PHONY: docs-reference
docs-reference: setup ## Write the reference of all settings, docs/reference/settings.md
	@$(BIN)/python -m jobqueue_core.settings.reference --write

.PHONY: docs-reference-check
docs-reference-check: setup ## Fail when the reference of all settings is stale
	@$(BIN)/python -m jobqueue_core.settings.reference --check

.PHONY: chart-docs
chart-docs: setup ## Write the chart's README and the schema of its values, from values.yaml
	@$(BIN)/python deploy/chart/generate.py

.PHONY: chart-docs-check
chart-docs-check: setup ## Fail when the chart's README or schema is stale
	@$(BIN)/python deploy/chart/generate.py --check

.PHONY: crd
crd: setup ## Write the definition of the JobQueue resource for the chart, and docs/reference/jobqueue.md
	@$(BIN)/python -m jobqueue_operator.resource --write

.PHONY: crd-check
crd-check: setup ## Fail when the definition of the JobQueue resource or its reference is stale
	@$(BIN)/python -m jobqueue_operator.resource --check

##@ Other

.PHONY: clean
clean: ## Remove .venv, caches and local data (.jobqueue)
	rm -rf $(VENV) .jobqueue .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist bench/results
	find $(PARTS) tests bench -type d \( -name __pycache__ -o -name '*.egg-info' -o -name dist \) -prune -exec rm -rf {} + 2>/dev/null || true

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# pip only fetches uv, by hash; uv does the rest. A venv without pip is made in a tenth of a second, one with
# pip in four, so the pip of $(PYTHON) is used where it has one that can (pip --python).
$(VENV)/.bootstrapped: requirements/bootstrap.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make setup: needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@if $(PYTHON) -c 'import pip, sys; sys.exit(int(pip.__version__.split(".")[0]) < 23)' 2>/dev/null; then \
		$(PYTHON) -m venv --clear --without-pip $(VENV); \
		$(PYTHON) -m pip --quiet --python $(BIN)/python install --require-hashes --only-binary :all: -r $<; \
	else \
		$(PYTHON) -m venv --clear $(VENV); \
		$(BIN)/python -m pip --quiet install --require-hashes --only-binary :all: -r $<; \
	fi
	@touch $@

# The imports at the end write the byte code of what every process of the system loads, once, even where
# PYTHONDONTWRITEBYTECODE is set: each later start is more than a second faster. Compiling all of .venv
# would take far longer, for packages that no start loads.
$(VENV)/.installed: $(VENV)/.bootstrapped requirements/dev.txt $(PROJECTS)
	@echo "Installing the locked requirements"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(PARTS:%=--editable %)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import aioboto3, fastapi, httptools, httpx, motor, prometheus_client, \
		pydantic_settings, pymongo, rich, structlog, tenacity, typer, uvicorn, uvloop, yaml' & \
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import hypothesis, ministack, pytest, pytest_asyncio' & \
	wait
	@touch $@
