# Two commands on a machine with Python 3.11, pip and a C++ compiler:
#   make demo    install into .venv and run the main job
#   make test    install the development tools too, then lint, type-check and test
PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2

BIN := $(VENV)/bin
# torch comes first and pinned: a looser request takes the registry's newest build and its CUDA packages.
PIP := @$(BIN)/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt
# The kernels are built when the package is installed, so their sources decide when to install again.
NATIVE := pyproject.toml $(wildcard CMakeLists.txt) $(shell find graphkit -name '*.cpp' -o -name '*.h' -o -name '*.hpp')

.DEFAULT_GOAL := help
.PHONY: help install demo test lint test-interop bench clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(VENV)/.torch: constraints.txt
	@echo "Installing torch into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	@touch $@

$(VENV)/.package: $(VENV)/.torch $(NATIVE)
	@echo "Installing graphkit into $(VENV); compiling takes some minutes at first ..."
	$(PIP) --editable '.[all]'
	@touch $@

# This installs all that .package does, so that kernels are not compiled twice.
$(VENV)/.dev: $(VENV)/.torch $(NATIVE)
	@echo "Installing graphkit and the development tools into $(VENV); compiling takes some minutes at first ..."
	$(PIP) --editable '.[dev]'
	@touch $(VENV)/.package $@

# torch-scatter compiles against the installed torch (about 7 minutes on 2 cores).
$(VENV)/.interop: $(VENV)/.dev
	@echo "Building torch-scatter and installing DGL and OGB into $(VENV); this takes some minutes once ..."
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation torch-scatter
	$(PIP) dgl ogb
	$(PIP) --no-deps py-tgb  # its evaluators need nothing more
	@touch $@

install: $(VENV)/.package  ## Install graphkit and what its commands need into .venv

demo: $(VENV)/.package  ## Run the main job; prints where its picture and table are
	$(BIN)/graphkit demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## Lint, type-check and run every test but the interop ones
	$(BIN)/python -m pytest -n $(WORKERS)

test-interop: $(VENV)/.interop  ## Compare with torch_scatter, DGL and OGB (builds torch-scatter once)
	DGLBACKEND=pytorch $(BIN)/python -m pytest -m interop tests

bench: $(VENV)/.interop  ## Time graphkit against PyG, torch_scatter and DGL (ARGS=--write records it)
	DGLBACKEND=pytorch $(BIN)/graphkit bench $(ARGS)

clean:  ## Remove .venv, build files and results
	rm -rf $(VENV) build results
