# Needs GNU make and Python 3.11+ with pip; everything else goes into .venv, which is rebuilt when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST_ARGS ?=
BENCH_ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format bench golden sim chaos load pictures clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY)  ## install and run the content-approval demo
	$(BIN)/python -m orchestrator.demo

check: $(READY)  ## lint, format, types, layers, exports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_exports.py tests/test_imports.py

# Tests that measure time run first and alone; the others share the cores, a file at a time.
ALONE := tests/load $(wildcard tests/*/test_speed.py)
test: check  ## install, check and run every test
	$(BIN)/python -m pytest $(ALONE) $(PYTEST_ARGS)
	$(BIN)/python -m pytest tests $(ALONE:%=--ignore=%) -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

format: $(READY)  ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## measure against the peers; BENCH_ARGS="--quick --peers none --only W1,W2"
	$(BIN)/python bench/run.py $(BENCH_ARGS)

golden: $(READY)  ## write the golden files anew, to be read as a diff
	UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests -k golden $(PYTEST_ARGS)
	git status --short -- tests schemas docs

sim: $(READY)  ## 10,000 seeds of the crash simulator
	SIM_SEEDS=$${SIM_SEEDS:-10000} $(BIN)/python -m pytest tests/sim --timeout 3600 $(PYTEST_ARGS)

chaos: $(READY)  ## kill -9, full disks and lost databases, at length
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-100} $(BIN)/python -m pytest tests/chaos --timeout 3600 $(PYTEST_ARGS)

load: $(READY)  ## load a loopback server and check its answers
	LOAD_SECONDS=$${LOAD_SECONDS:-300} $(BIN)/python -m pytest tests/load --timeout 3600 $(PYTEST_ARGS)

pictures: $(READY)  ## take the pictures of docs/pictures anew, with Chromium
	$(BIN)/python -m tests.pages.pictures

clean:  ## remove what make built
	rm -rf $(VENV) dist build bench/envs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
