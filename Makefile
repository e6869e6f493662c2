# tabloop: `make run` does the main job on the bundled data, `make test` passes the tests.
# Both set up `.venv` first, and only when the lock or the package definition changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
# compiled modules and tests are kept, whatever the shell says: each worker and each process that a test starts needs them
TESTS := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# tests wait much for processes and brokers: more workers than cores, of which each has to import everything
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n > 4 ? 8 : n + (n + 1) / 2 )))

# Three environments in one folder, each with all of the one before: a run, the tests, the developers' tools.
# The largest that is there does.
FOR_ALL   := $(VENV)/.ready
FOR_TESTS := $(or $(wildcard $(FOR_ALL)),$(VENV)/.tests)
FOR_RUN   := $(or $(wildcard $(FOR_ALL)),$(wildcard $(VENV)/.tests),$(VENV)/.run)

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lint types imports train export retrain reproduce benchmark serve monitor stream \
        soak clean lock docs wheel

help:  ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: requirements-run.lock
$(VENV)/.tests: requirements-test.lock
$(FOR_ALL): requirements.lock
# uv installs the same files by the same hashes in a tenth of pip's time, and is locked like everything else. Where
# it does not reach the index that pip is configured for, pip installs them.
UV      := $(or $(shell command -v uv),$(BIN)/uv)
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED   = $(filter-out requirements-build.lock,$(filter %.lock,$^))
install  = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python $(1) || $(PIP) $(1)
$(VENV)/.run $(VENV)/.tests $(FOR_ALL): requirements-build.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "tabloop needs Python 3.11, 3.12 or 3.13 on the PATH"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) from $(LOCKED), once"
	@test -x $(UV) || $(PIP) --require-hashes -r requirements-build.lock
	@$(call install,--require-hashes -r requirements-build.lock -r $(LOCKED))
	@$(call install,--no-deps --no-build-isolation -e .)
	@$(BIN)/python -m compileall -q src  # where the shell forbids bytecode, each process would compile it anew
	@touch $@

setup: $(FOR_ALL)  ## make the whole environment in .venv: a run, the tests, the developers' tools

run: $(FOR_RUN)  ## the main job on the bundled students (ARGS="--set seed=1" passes options on)
	@$(BIN)/tabloop run $(ARGS)

export: $(FOR_RUN)  ## write model.onnx of the newest open run
	@$(BIN)/tabloop export $(ARGS)

benchmark: $(FOR_RUN)  ## measure the newest open run (ARGS="RUN --full" names another, in full)
	@$(BIN)/tabloop benchmark $(ARGS)

train: $(FOR_RUN)  ## open a run: data, candidates, threshold
	@$(BIN)/tabloop train $(ARGS)

retrain: $(FOR_RUN)  ## train a challenger on reference data and feedback (ARGS=--if-triggered for cron)
	@$(BIN)/tabloop retrain $(ARGS)

reproduce: $(FOR_RUN)  ## check every hash of the champion (ARGS=--retrain trains again)
	@$(BIN)/tabloop reproduce $(ARGS)

serve: $(FOR_RUN)  ## serve the champion (ARGS="--port 8000 --workers 2")
	@$(BIN)/tabloop serve $(ARGS)

monitor: $(FOR_RUN)  ## say how the champion is doing (ARGS=--watch keeps at it)
	@$(BIN)/tabloop monitor $(ARGS)

stream: $(FOR_RUN)  ## simulate a stream of events in this process, no broker needed
	@test -L artifacts/champion || $(BIN)/tabloop run
	@$(BIN)/tabloop stream --simulate $(ARGS)

test: $(FOR_TESTS)  ## the whole test suite
	@$(TESTS) -n $(WORKERS) --dist worksteal $(ARGS)

soak: $(FOR_TESTS)  ## the tests at full size: millions of rows, the 400-tree forest, many random examples
	@TABLOOP_TEST_EXAMPLES=many $(TESTS) -m "soak or examples" $(ARGS)

check: lint types imports test  ## what CI runs: format, lint, types, import directions, tests

lint: $(FOR_ALL)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(FOR_ALL)
	@$(BIN)/mypy

imports: $(FOR_ALL)
	@$(BIN)/lint-imports

format: $(FOR_ALL)  ## format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:  ## remove runs, reports and caches (not .venv)
	@rm -rf artifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

docs: $(FOR_ALL)  ## write the generated pages and build the site in build/site
	@for room in config cli artifacts deployment; do $(BIN)/python -m tabloop.$$room.reference || exit 1; done
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto --doctree-dir build/doctrees docs build/site
	@echo "built: build/site/index.html"

wheel: $(FOR_RUN)  ## build the wheel and the source distribution into dist
	@$(BIN)/python -m hatchling build

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        --no-annotate
SAME := --constraints requirements.lock

lock: $(FOR_RUN)  ## pin every dependency with its hashes
	@$(LOCK) pyproject.toml --group dev --all-extras --output-file requirements.lock
	@# each of the others holds the same versions
	@$(LOCK) $(SAME) pyproject.toml --group test --all-extras --output-file requirements-test.lock
	@$(LOCK) $(SAME) pyproject.toml --extra train --extra serve --extra remote \
		--output-file requirements-run.lock
	@$(LOCK) $(SAME) pyproject.toml --extra serve --extra monitor --extra opentelemetry --extra remote \
		--output-file requirements-serve.lock
	@printf '%s\n' hatchling editables uv | $(LOCK) $(SAME) - --output-file requirements-build.lock
