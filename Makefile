# `make train` runs the quickstart, `make test` all tests that are not slow, `make test-all` every test, `make docs` builds the site. All make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: train test fast test-all lint docs dist bench clean

train: $(STAMP)
	$(BIN)/python -m dreamer_exp experiment=quickstart

# three workers, because tests wait for processes; all tests of a file run in the same one, so that its fixtures are made once
# ruff and mypy run meanwhile
test: $(STAMP)
	@$(MAKE) --no-print-directory -j 2 lint fast

fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder

test-all: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# site/index.html; a warning is an error
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# dist/: an sdist, and a wheel made from it
dist: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build twine
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/twine check --strict dist/*

bench: $(STAMP)
	$(BIN)/python benchmarks/env_rate.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/acting_rate.py --steps 160 --repeats 3
	$(BIN)/python benchmarks/update_time.py --repeats 5

# torch first and alone: if pip finds a CPU build of it, the other packages then keep that build
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist site
