# `make help` lists what there is. Everything runs in .venv, which `make setup` creates.

PYTHON ?= python3
UV ?= uv
LOCK = $(UV) pip compile pyproject.toml --universal --python-version 3.12 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet
BIN := .venv/bin
PEERS := studies/speed/.venvs
# -qq: errors only. pip reports on every package otherwise, and warns about every index that lacks one.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: help setup demo small test test-all neurogym-test bench bench-setup check docs wheel-test lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/project.stamp  ## install everything into .venv (quick when nothing changed)

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "brianbridge needs Python 3.12 or newer, and there is no '$(PYTHON)' here. Name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 12) else "brianbridge needs Python 3.12 or newer, and $(PYTHON) is %d.%d. Name another one: make setup PYTHON=python3.12" % v[:2])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/requirements.stamp: requirements.txt | .venv/bin/python
	@echo "Installing the packages of requirements.txt into .venv (several GB the first time, a few minutes) ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@touch $@

.venv/project.stamp: pyproject.toml .venv/requirements.stamp
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
	@echo "brianbridge is installed: $(BIN)/brianbridge"

demo: setup  ## load, train, write back into Brian2, check and report
	$(BIN)/python studies/demo/run.py

small: setup  ## train reduced published networks and test them in Brian2 (goes on where it stopped)
	$(BIN)/python studies/small/run.py

test: check  ## the checks and the quick tests (what CI runs)
	$(BIN)/python -m pytest -m "not slow"

test-all: check  ## the checks and all tests, slow ones too
	$(BIN)/python -m pytest

neurogym-test: .venv-neurogym/stamp  ## test the tasks with NeuroGym, in an environment of its own
	PYTHONPATH=. .venv-neurogym/bin/python -m pytest -n 0 tests/test_neurogym.py

.venv-neurogym/stamp: requirements-neurogym.txt
	@echo "Installing the packages of $< into .venv-neurogym (several GB) ..."
	@$(PYTHON) -m venv .venv-neurogym
	@.venv-neurogym/bin/python -m pip --disable-pip-version-check -qq install --require-hashes -r $<
	@touch $@

bench: bench-setup  ## measure the speed of training beside other libraries (some hours; resumes)
	$(BIN)/python studies/speed/run.py

bench-setup: setup $(PEERS)/torch.stamp $(PEERS)/jax.stamp  ## install the libraries that `make bench` compares with

$(PEERS)/%.stamp: studies/speed/requirements-%.txt
	@echo "Installing the packages of $< into $(PEERS)/$* ..."
	@$(PYTHON) -m venv $(PEERS)/$*
	@$(PEERS)/$*/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@

check: setup  ## style, formatting, import rules, documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(MAKE) --no-print-directory docs

docs: setup  ## build the documentation into docs/_build (a warning is an error)
	$(BIN)/sphinx-build -W -q docs docs/_build

wheel-test: setup  ## build a wheel and use it outside the repository
	$(BIN)/python -m pytest -n 0 -k wheel tests/test_repository.py

lock:  ## pin the dependencies of pyproject.toml in the requirements files (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv, which is not part of .venv. Install it anywhere, or name it: make lock UV=/path/to/uv" >&2; exit 1; }
	$(LOCK) --extra test --extra docs --extra dev -o requirements.txt
	$(LOCK) --extra test --extra tasks -o requirements-neurogym.txt

clean:  ## remove what was built, except .venv
	rm -rf build dist docs/_build .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find brianbridge tests studies docs -name __pycache__ -prune -exec rm -rf {} +
