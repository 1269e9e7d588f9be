# Every target sets up what it needs. `make lab` and `make test` work from a bare checkout with python3, venv and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout 300 --nbval-sanitize-with tests/nbval_sanitize.cfg
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Two test workers on two cores: threads of their own would only wait for one another.
unit notebooks-check: export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help setup lab run test lint unit notebooks-check notebooks bench constraints clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv and install everything, once

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "medlab needs Python 3.11 or newer; %s is %d.%d. Name another with: make PYTHON=python3.11 ..." % (sys.executable, v[0], v[1]))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

lab: $(STAMP) ## Open JupyterLab at the first lesson
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

run: $(STAMP) ## Execute every lesson into build/ and print a table
	$(BIN)/medlab run

test: lint unit notebooks-check ## What CI runs: lint, types, unit tests, every notebook compared

lint: $(STAMP) ## Format check, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(STAMP) ## Unit tests
	$(PYTEST) -n 2 --dist loadfile tests

notebooks-check: $(STAMP) ## Execute every notebook and compare its outputs with the stored ones
	$(PYTEST) -n 2 --dist loadfile $(NBVAL) notebooks

notebooks: $(STAMP) ## Execute every notebook, normalise it and store its outputs
	$(BIN)/python -m medlab.course

bench: $(STAMP) ## Measure against peers and write docs/benchmarks.md
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python benchmarks/run.py

constraints: $(STAMP) ## Pin the newest versions that fit (needs uv)
	uv pip compile --quiet --universal --no-annotate --no-emit-index-url --no-emit-find-links --python-version 3.11 \
		--all-extras --custom-compile-command 'make constraints' pyproject.toml -o constraints.txt

clean: ## Remove what make made, .venv too
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
