# Needs Python 3.11 or newer, git and make; everything else is installed into .venv.
# Another interpreter: make clean, then make PYTHON=python3.13 ...

SHELL := /bin/sh
PYTHON ?=
export PYTHON

VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
CI := constraints/ci.txt

# What an environment is made from: when one of these changes, it is made anew.
MADE_FROM := pyproject.toml scripts/venv

# One argument or more for pytest: make test ARGS="-k interleaved -x"
ARGS ?=
# A skip is an error: make test FORBID_SKIPS=1
FORBID_SKIPS ?=
# Many tests wait for programs that they have started, so two at a time pay even on one core. A file's tests are in
# one worker, so that what they share is made once, and they follow each other.
# To debug one: make test ARGS="-n 0 --pdb -k ..."
PYTEST := -m pytest -n 2 --dist loadfile $(if $(FORBID_SKIPS),-p tests.plugins.forbid_skips --forbid-skips) $(ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-oldest test-upstream services lint types format bench bench-store build test-wheel constraints clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Show what the package does, offline.
	@$(BIN)/python -m langchain_sessions demo --store .cache/demo.db

test: $(VENV)/.test ## Run the whole test suite, with coverage.
	@mkdir -p .cache/coverage && rm -f .cache/coverage/*
	$(BIN)/coverage run $(PYTEST)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

test-oldest: $(OLDEST)/.test ## Run the core and contract tests with the oldest supported versions.
	$(OLDEST)/bin/python $(PYTEST) -m "contract or core" --ignore-glob='*/test_across_*' --ignore-glob='*/test_browser_*' --ignore=tests/test_without_code.py

test-upstream: ## Run OpenInference's own tests with our handler in the place of its tracer.
	@scripts/upstream-suite

services: ## Install what the tests need beyond Python packages.
	@scripts/services

lint: $(VENV)/.lint ## Check the style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test $(VENV)/.lint ## Check the types.
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint ## Format the code and mend what can be mended by itself.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.test ## Measure what the handler and the overlay cost.
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/overlay.py

bench-store: $(VENV)/.test ## Measure the session store with two million spans (some minutes, 3 GB).
	$(BIN)/python benchmarks/store.py

build: $(VENV)/.package ## Build the sdist and the wheel into dist/.
	@rm -rf dist
	PIP_CONSTRAINT=$(CI) $(BIN)/python -m build --outdir dist .

test-wheel: build ## Install the wheel without extras into a clean environment and use it there.
	@scripts/venv .cache/wheel
	@scripts/venv .cache/wheel --constraint $(CI) dist/*.whl
	.cache/wheel/bin/python -I scripts/smoke.py

constraints: $(VENV)/.made ## Pin the newest versions (constraints/ci.txt), the oldest, and Phoenix's anew.
	$(BIN)/uv pip compile $(COMPILE) --upgrade --all-extras --group dev pyproject.toml --output-file $(CI)
	$(BIN)/uv pip compile $(COMPILE) --upgrade --all-extras --group test --resolution lowest-direct \
		pyproject.toml constraints/oldest.in --output-file constraints/oldest.txt
	$(BIN)/uv pip compile $(COMPILE) --upgrade constraints/phoenix.in --output-file constraints/phoenix.txt

# Names and versions only: where packages come from is the business of whoever installs them.
COMPILE := --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url

clean: ## Remove what the other targets made.
	rm -rf $(VENV) $(OLDEST) .venv-upstream .cache .hypothesis build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.made: $(MADE_FROM) $(CI)
	@echo "making $(VENV)"
	@scripts/venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made
	@scripts/venv $(VENV) --constraint $(CI) --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.made
	@scripts/venv $(VENV) --constraint $(CI) --editable '.[all]' \
		--group test --group across --group browser --group notebooks --group recipes
	@touch $@

$(VENV)/.lint: $(VENV)/.made
	@scripts/venv $(VENV) --constraint $(CI) --group lint
	@touch $@

$(VENV)/.package: $(VENV)/.made
	@scripts/venv $(VENV) --constraint $(CI) --group package
	@touch $@

$(OLDEST)/.test: $(MADE_FROM) constraints/oldest.txt
	@echo "making $(OLDEST)"
	@scripts/venv $(OLDEST)
	@scripts/venv $(OLDEST) --constraint constraints/oldest.txt --editable '.[all]' --group test
	@touch $@
