# make reproduce   install into .venv and show the result: the toy problem and the vehicle, within minutes
# make test        what must always pass; make test-all adds the slow tests; make lint checks style and types
PYTHON ?= python3
BIN := .venv/bin
# Most of a test is compiling, on one core. A file's tests stay together: they share what was compiled.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile
# Two processes on two cores: threads of numpy's own would fight for them, over matrices that are too small for any.
test test-all: export OPENBLAS_NUM_THREADS := 1
# A quarter of the time less: XLA's other way of making loops compiles faster. test-all compiles as users do.
test: export XLA_FLAGS := --xla_cpu_use_fusion_emitters=false
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: reproduce test test-all lint clean

reproduce: .venv/.installed
	$(BIN)/maxent-jax reproduce quick $(if $(filter 1,$(FORCE)),--force)

test: .venv/.installed-dev
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow"

test-all: .venv/.installed-dev
	$(BIN)/pytest $(SIDE_BY_SIDE)

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --warnings

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The stamps: an installation is repeated only where these files have changed since.
.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into .venv (minutes the first time)"
	$(PIP) install --editable . --constraint constraints.txt
	touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing the tools of development into .venv"
	$(PIP) install --editable ".[dev]" --constraint constraints.txt
	touch $@
