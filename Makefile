# A fresh clone needs Python 3.11 or newer and this file: every target sets up .venv by itself.
#
#   make demo    the main job: a degraded plate through a real server, before and after
#   make test    everything that is checked: format, lint, dependency rule, types, tests
#   make check   the same without the tests
#   make fmt     format the code, and mend what the linter can mend
#   make bench   measure this machine
#   make docs    write the generated pages of docs/ anew
#   make clean   remove everything that make made
#
# make PYTHON=/path/to/python3.12 chooses the interpreter that .venv is made with.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test
.DELETE_ON_ERROR:

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,\
	$(if $(shell $(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What runs in a host's own Python, which may be as old as 3.10.
FOR_HOSTS := -p kwaflux_hosting -p kwaflux_core.client -p kwaflux_core.flows -p kwaflux_core.protocol \
	-p kwaflux_core.settings -p kwaflux_core.transport \
	-p kwaflux_nuke -p kwaflux_resolve \
	-m kwaflux_core -m kwaflux_core.tiling

.PHONY: demo test check fmt bench docs clean setup

demo: $(STAMP)
	$(BIN)/kwaflux demo

test: check
	$(BIN)/pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 $(FOR_HOSTS)

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/kwaflux bench

docs: $(STAMP)
	$(BIN)/python docs/reference_pages.py docs

clean:
	rm -rf $(VENV) build dist demo .bench .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(STAMP)

# The stamp is younger than pyproject.toml, or the installation is brought up to date.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Kwaflux needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Setting up $(VENV) with $(PYTHON); the first time this downloads PyTorch and takes minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
