# tabloop: `make run` does the main job on the bundled data, `make test` passes the tests.
# Both set up `.venv` first, and only when the lock or the package definition changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lint types imports train export reproduce benchmark stream soak clean lock docs

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

stream: $(STAMP)  ## put a made-up load on the champion's event stream, no broker needed (ARGS="--rate 2000")
	@test -L artifacts/champion || $(BIN)/tabloop run
	@$(BIN)/tabloop stream --simulate $(ARGS)

reproduce: $(STAMP)  ## check every hash of the champion (ARGS=--retrain trains again)
	@$(BIN)/tabloop reproduce $(ARGS)

test: $(STAMP)  ## the whole test suite
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

soak: $(STAMP)  ## the tests at full size: millions of rows, the 400-tree forest
	@$(BIN)/python -m pytest -m soak $(ARGS)

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

lock: $(STAMP)  ## pin every dependency with its hashes (needs uv)
	@uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --output-file requirements.lock
