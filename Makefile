# make alone lists the targets. Everything runs from .venv, which the first target that needs it
# builds from hashes; it only needs make and a Python of 3.11 or newer.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
	{ echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit bench evaluate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## build .venv (the other targets do it when needed)

demo: $(STAMP) ## broker, traffic, attacks, findings: all on this machine
	@$(BIN)/vedette demo

test: lint ## lint, types and every test, with a real Kafka
	$(BIN)/pytest

unit: $(STAMP) ## the tests that need no broker
	$(BIN)/pytest -m "not kafka and not slow"

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) ## measure the speed of the pipeline on this machine
	@$(BIN)/vedette bench pipeline

evaluate: $(STAMP) ## measure delay and false alarms of the detectors
	@$(BIN)/python -m benchmarks.evaluate

clean: ## remove .venv and caches (not .vedette, which holds data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

# Without --no-build-isolation the build would fetch a setuptools that nobody pinned.
$(STAMP): requirements-dev.txt requirements-uv.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python of 3.11 or newer with venv was found. Install one \
	(Debian and Ubuntu: python3 and python3-venv), or name one: make PYTHON=/path/to/python3.12" \
	>&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes \
		requirements-dev.txt requirements-uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
