# Ringfence: every command of the project.  `make` alone lists them.
#
# The virtual environment .venv is built from the lock on first use.  Choose its interpreter with
# `make PYTHON=python3.12 ...` (after `make clean`); by default the newest on the PATH that starts.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell tools/pythons.sh | head -n 1)
UV_VERSION := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOCKED := $(VENV)/.locked

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(INSTALLED) ## Show a crash: one market falls, liquidations follow, the journal is folded again
	@$(BIN)/python -m examples.crash

.PHONY: test
test: $(INSTALLED) ## Run every test; the core must be covered completely, lines and branches
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest -n auto --dist loadgroup --cov --cov-report=term:skip-covered
	@echo "The core alone:"
	@$(BIN)/coverage report --include='core/*' --fail-under=100

.PHONY: search
search: $(INSTALLED) ## Let the property tests look for new counterexamples, longer and at random
	@$(BIN)/python -m pytest -n auto --dist loadgroup --hypothesis-profile=search

.PHONY: check
check: $(INSTALLED) ## Check style, types, import directions, house rules and generated files
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q tests/test_tidy.py
	@$(BIN)/python -m ringfence_schemas.generate --check
	@$(BIN)/python -m tools.reference --check
	@$(BIN)/python -m tools.venues --check

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

.PHONY: bench
bench: $(INSTALLED) ## Measure the speed of the fold and of the logs on this machine
	@$(BIN)/python -m benchmarks

.PHONY: run-kafka
run-kafka: $(INSTALLED) ## The same, and its inputs once more over a real Kafka, started and stopped here (no Docker, no Java)
	@$(BIN)/python -m examples.crash --kafka

.PHONY: bench-kafka
bench-kafka: $(INSTALLED) ## Measure the engine over a real Kafka broker on this machine
	@$(BIN)/python -m benchmarks.kafka

.PHONY: chaos
chaos: $(INSTALLED) ## Kill brokers and engines, cut networks, and prove that nothing is lost or decided twice
	@$(BIN)/python -m pytest tests/chaos

.PHONY: docs
docs: $(INSTALLED) ## Write schemas/generated/, docs/reference/ and docs/guide/venues.md again from the code
	@$(BIN)/python -m ringfence_schemas.generate
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m tools.venues

.PHONY: golden
golden: $(INSTALLED) ## Rewrite expected outcomes and wire bytes (read the difference before you commit it)
	@$(BIN)/python -m pytest -q tests/scenarios tests/schemas/test_wire.py --golden
	@git --no-pager diff --stat -- tests/scenarios tests/schemas/golden

.PHONY: test-all-pythons
test-all-pythons: ## Run the tests of schemas, core and scenarios under every installed Python 3.11 to 3.13
	@for python in $$(tools/pythons.sh --all); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python $$version"; \
		$(MAKE) --no-print-directory VENV=.python-venvs/$$version PYTHON=$$python .python-venvs/$$version/.installed; \
		.python-venvs/$$version/bin/python -m pytest -q -n auto tests/schemas tests/core tests/scenarios; \
	done

.PHONY: lock
lock: .lock-venv/bin/uv ## Resolve the dependencies again, keep versions that still fit, and write the locks
	@$(compile) pyproject.toml --group dev --all-extras --output-file requirements.lock
	@$(compile) pyproject.toml --extra kafka --constraint requirements.lock --output-file docker/requirements.lock
	@$(compile) --group build --constraint requirements.lock --output-file docker/requirements-build.lock

.PHONY: upgrade
upgrade: ## The same with the newest versions
	@$(MAKE) --no-print-directory lock compile='$(compile) --upgrade'

compile = .lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.lock-venv/bin/uv: | python
	@$(PYTHON) -m venv .lock-venv
	@.lock-venv/bin/python -m pip install --quiet uv==$(UV_VERSION)

.PHONY: clean
clean: ## Remove everything that make built
	@rm -rf $(VENV) .lock-venv .python-venvs .bench-kafka .coverage .coverage.* htmlcov build dist out \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo "Ringfence needs Python 3.11 or newer: none on the PATH starts." \
		"Install one, or name it: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Ringfence needs Python 3.11 or newer; '$(PYTHON)' is older or does not start." >&2; exit 1; }

$(LOCKED): requirements.lock | python
	@echo "Building $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --no-deps --no-compile --only-binary :all: --requirement requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
