# tabloop: `make run` does the main job on the bundled data, `make test` passes the tests.
# Both set up `.venv` first, and only when the lock or the package definition changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
ARGS   ?=
# compiled modules and tests are kept, whatever the shell says: each worker and each process that a test starts needs them
TESTS := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# tests wait much for processes and brokers: more workers than cores
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n > 4 ? 8 : 2 * n )))

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lint types imports train export retrain reproduce benchmark serve monitor stream \
        soak clean lock docs

help:  ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "tabloop needs Python 3.11, 3.12 or 3.13 on the PATH"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (about a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP)  ## make the environment in .venv

run: $(STAMP)  ## the main job on the bundled students (ARGS="--set seed=1" passes options on)
	@$(BIN)/tabloop run $(ARGS)

export: $(STAMP)  ## write model.onnx of the newest open run
	@$(BIN)/tabloop export $(ARGS)

benchmark: $(STAMP)  ## measure the newest open run (ARGS="RUN --full" names another, in full)
	@$(BIN)/tabloop benchmark $(ARGS)

train: $(STAMP)  ## open a run: data, candidates, threshold
	@$(BIN)/tabloop train $(ARGS)

retrain: $(STAMP)  ## train a challenger on reference data and feedback (ARGS=--if-triggered for cron)
	@$(BIN)/tabloop retrain $(ARGS)

reproduce: $(STAMP)  ## check every hash of the champion (ARGS=--retrain trains again)
	@$(BIN)/tabloop reproduce $(ARGS)

serve: $(STAMP)  ## serve the champion (ARGS="--port 8000 --workers 2")
	@$(BIN)/tabloop serve $(ARGS)

monitor: $(STAMP)  ## say how the champion is doing (ARGS=--watch keeps at it)
	@$(BIN)/tabloop monitor $(ARGS)

stream: $(STAMP)  ## simulate a stream of events in this process, no broker needed
	@test -L artifacts/champion || $(BIN)/tabloop run
	@$(BIN)/tabloop stream --simulate $(ARGS)

test: $(STAMP)  ## the whole test suite
	@$(TESTS) -n $(WORKERS) --dist worksteal $(ARGS)

soak: $(STAMP)  ## the tests at full size: millions of rows, the 400-tree forest
	@$(TESTS) -m soak $(ARGS)

check: lint types imports test  ## what CI runs: format, lint, types, import directions, tests

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(STAMP)
	@$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports

format: $(STAMP)  ## format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:  ## remove runs, reports and caches (not .venv)
	@rm -rf artifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

docs: $(STAMP)  ## write docs/configuration.md from the types
	@$(BIN)/python -m tabloop.config.reference

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

lock: $(STAMP)  ## pin every dependency with its hashes (needs uv)
	@$(LOCK) pyproject.toml --group dev --all-extras --output-file requirements.lock
	@# what the container image runs on, and what builds the wheel in it: the same versions
	@$(LOCK) pyproject.toml --extra opentelemetry --constraints requirements.lock --output-file requirements-serve.lock
	@echo hatchling | $(LOCK) - --constraints requirements.lock --output-file requirements-build.lock
