# Two commands: `make run` does the main job on real data, `make test` runs the tests. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := "$(VENV)"/bin
# PyTorch's CPU wheels, for a machine that should not get the CUDA build:
#   make run TORCH_INDEX="--extra-index-url https://download.pytorch.org/whl/cpu --retries 0"
TORCH_INDEX ?=
HOST ?= 127.0.0.1
PORT ?= 8000
UI_PORT ?= 3000
MLFLOW_PORT ?= 5000
FEED ?= noaa
JOBS ?= 4
# Of `make load`: the server (without one: one of its own), clients at once, and how long.
URL ?=
USERS ?= 32
SECONDS_OF_LOAD ?= 30

export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test test-e2e up sql mlflow demo-drift bench load lint docs lock clean setup
.DEFAULT_GOAL := run

# Set up once per lock file: the stamp is newer than what it was made from, or everything is installed again.
STAMP := $(subst $() ,\ ,$(VENV))/.installed
BUNDLE := serving/bundle/.built
setup: $(STAMP) $(BUNDLE)
$(STAMP): requirements.lock pyproject.toml
	@echo "Setting up $(VENV) (about a minute, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@test -x $(BIN)/python || $(PYTHON) -m venv "$(VENV)"
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet $(TORCH_INDEX) torch==2.13.0
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch "$@"

# The server's pages: bundled once per change of web/ or its lock file, by the Node of the environment.
$(BUNDLE): $(filter-out web/node_modules,$(wildcard web/* web/src/*)) | $(STAMP)
	@$(BIN)/python web/build.py

# One line a target that people type, in the order in which they meet them.
define HELP
make run [FEED=noaa]    set everything up, run a feed's whole graph, ask a server for a forecast
make up                 Dagster's UI and daemon, and the server, until Ctrl-C [HOST= PORT= UI_PORT=]
make demo-drift         the self-healing loop on a simulated heatwave, with real processes, in 3 minutes
make sql                DuckDB's shell with a view of every table
make test               the tests, in about 6 minutes
make test-e2e           the tests that start whole processes or kill them, in about an hour
make bench              every speed and accuracy figure, measured beside its peers
make load               clients that mix what clients do: requests a second, p50, p99, failures [URL= USERS= SECONDS_OF_LOAD=]
make lint               ruff, mypy, import contracts, and a check of every declaration
make docs               docs/feed-reference.md, generated from the declaration's model
make lock               the lock file, made again from pyproject.toml
make mlflow             MLflow's own UI on the trainings of the home
make clean              remove what AeroCast has made, after a question [YES=1: without]
make setup              install everything into .venv and bundle the server's pages, once
make help               this list; `.venv/bin/aerocast --help` lists the commands behind it and more
endef
export HELP
.PHONY: help
help:
	@echo "$$HELP"

run: setup
	@$(BIN)/aerocast run --feed "$(FEED)"

# One thread a process: threads that wait for each other on a busy machine cost more than they bring.
test: setup
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not e2e" --durations 15

# Whole processes: the main job, the demonstration, servers beside a platform, and whatever is killed again and again.
test-e2e: setup
	@$(BIN)/python -m pytest -n 2 -m e2e --timeout 1200 --durations 15

up: setup
	@$(BIN)/aerocast up --host "$(HOST)" --port "$(PORT)" --ui-port "$(UI_PORT)"

sql: setup
	@$(BIN)/aerocast sql

mlflow: setup
	@$(BIN)/aerocast mlflow --host "$(HOST)" --port "$(MLFLOW_PORT)"

# The self-healing loop as a story on simulated time, in a home of its own below AEROCAST_HOME.
demo-drift: setup
	@$(BIN)/aerocast demo

bench: setup
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Locust lives in an environment of its own, which the script makes once.
load: setup
	@PYTHONPATH=benchmarks $(BIN)/python benchmarks/load --url "$(URL)" --users "$(USERS)" --seconds "$(SECONDS_OF_LOAD)"

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/aerocast check

docs: setup
	@$(BIN)/python -m aerocast.feed.reference > docs/feed-reference.md

# Everything but torch, which a lock written on one machine would tie to that machine's build; the hashes of all
# wheels and sources of a version, for every machine.
lock:
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(BIN)/pip-compile --quiet --generate-hashes --extra serve --extra platform --extra dev --unsafe-package torch --strip-extras \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --no-annotate \
	  -o requirements.lock pyproject.toml

# Removes only what AeroCast has made, of a folder that bears a home's mark; asks first (YES=1: no question).
clean: setup
	@$(BIN)/aerocast clean $(if $(YES),--yes)
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
