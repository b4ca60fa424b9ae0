# Every target works in a fresh clone: the first one makes its own virtual environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := accel models sim energy rtl explore report cli

.PHONY: help demo docs notebooks test release-check test-slow fpga-slow test-external formal lint format bench coverage clean
.DEFAULT_GOAL := help

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## Run a trained decoder layer on generated hardware; results in build/demo.
	$(BIN)/tritforge demo --output build/demo

docs: $(VENV)/.installed-docs  ## Build the documentation site in build/site, offline, warnings as errors.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

notebooks: $(VENV)/.installed-dev  ## Run the notebooks and store them with what they print.
	$(BIN)/python notebooks/store.py

test: $(VENV)/.installed-dev  ## Run the test suite (under 15 minutes on two cores).
	$(BIN)/pytest -n 2 -m "not slow and not external"

release-check: $(VENV)/.installed-dev  ## Build the wheel, install it in a clean environment and run every command there.
	$(BIN)/pytest tests/release

formal: $(VENV)/.installed-dev  ## Prove datapaths and stream blocks (part of test); says what is proved for how long.
	$(BIN)/pytest -n 2 -rP -m "not slow" tests/formal

test-slow: $(VENV)/.installed-dev  ## Run the tests that take minutes.
	$(BIN)/pytest -m slow

fpga-slow: $(VENV)/.installed-dev  ## Place and route boards and large presets, and hold all presets to their table.
	$(BIN)/pytest -m "slow and fpga"

test-external: $(VENV)/.installed-external  ## Compare with goldens that nobody here wrote.
	$(BIN)/pytest -m external

lint: $(VENV)/.installed-dev  ## Check style, formatting and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(PACKAGES:%=-p tritforge.%)
	$(BIN)/mypy tests docs notebooks

format: $(VENV)/.installed-dev  ## Format the sources.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-dev  ## Run the benchmarks of the models and of the host's work; each prints its figures.
	$(BIN)/python benchmarks/bench_energy.py
	$(BIN)/python benchmarks/bench_explore.py
	$(BIN)/python benchmarks/bench_host.py
	$(BIN)/python benchmarks/bench_import.py
	$(BIN)/python benchmarks/bench_startup.py
	$(BIN)/python benchmarks/bench_cosim.py

coverage: $(VENV)/.installed-dev  ## Run the test suite with branch coverage.
	$(BIN)/coverage run -m pytest -m "not slow and not external"
	$(BIN)/coverage combine
	$(BIN)/coverage report

clean:  ## Remove build products, not the virtual environment.
	rm -rf build .coverage*

$(VENV)/.installed: pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("tritforge needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	touch $@

$(VENV)/.installed-external: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[external]"
	touch $@
