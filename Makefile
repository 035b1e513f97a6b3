# Every target explains itself: `make` lists them. Needs Python 3.11 to 3.13, make, git; Node.js and a C compiler only where
# a package has no ready-made wheel for the machine.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
CODE := pipelines tests
MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help install up down test test-fast lint format types bench soak docs clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with everything the project needs, and see to Chromium; quick when nothing changed
	@$(BIN)/python -m pipelines.core.browser

# The stamp is made last: whatever breaks off on the way is done again by the next `make install`.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python found. fix: install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
		echo "error: $$("$(PYTHON)" --version) is not supported. fix: install Python 3.11, 3.12 or 3.13, or make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { \
		echo "error: no virtual environment can be made. fix: Debian: apt-get install python3-venv" >&2; exit 1; }
	@# The lock is whole: without --no-deps pip would look up what packages ask for, and stumble over newer releases.
	@echo "Installing the locked packages into $(VENV); their hashes are checked ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-compile --no-deps --require-hashes -r requirements.lock \
		| awk '/^Collecting/ && ++n % 20 == 0 {print "  " n " packages ..."} /^Installing/ {print "  unpacking all of them ..."; fflush()}'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@# pip compiles on one core; a file that is no Python of this version is of no consequence.
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

up: install ## Start everything, load, reconcile, keep polling; prints the addresses; Ctrl-C stops it
	@$(BIN)/psp up

down: ## Stop a running `make up` from another terminal
	@$(BIN)/psp down

test: install ## Run all tests, on real PostgreSQL, Chromium, Dagster and providers; nothing but loopback is asked
	$(PYTEST)

test-fast: install ## Run the tests that take seconds
	$(PYTEST) tests/unit tests/contract -m "not slow"

lint: install ## Check style, formatting, SQL and the direction of imports
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/sqlfluff lint --processes 2 dbt_project/models dbt_project/tests
	$(BIN)/lint-imports --no-cache

format: install ## Put Python and SQL into their form
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(BIN)/sqlfluff fix dbt_project/models dbt_project/tests

types: install ## Check the types of what must be exact
	$(BIN)/mypy

bench: install ## Measure speed: sandbox, loading, models
	@for script in $(filter-out tests/bench/soak.py tests/bench/kill_feed.py tests/bench/__init__.py,$(wildcard tests/bench/*.py)); do \
		echo "== $$script"; $(BIN)/python -m "tests.bench.$$(basename "$$script" .py)"; done

soak: install ## Let the platform run for MINUTES (10) on a moving world, then kill 200 loaders; judge both
	$(BIN)/python -m tests.bench.soak --minutes $(MINUTES)
	$(BIN)/python -m tests.bench.websockets --minutes $(MINUTES)
	$(BIN)/python -m tests.bench.kill_feed

docs: install ## Check that the documentation names every setting, command, target and mart
	$(PYTEST) tests/unit/cli/test_docs.py

clean: ## Remove .venv and everything that was built; keeps PSP_HOME with its data
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf dbt_project/target dbt_project/logs
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
