# `make test` runs every check, `make demo` shows a promotion from training to production; both set up what they need.

PYTHON ?= python3
UV := .tools/bin/uv
RUN := $(UV) run --locked --no-sync
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 $(RUN) sam
STAGE ?= qa
ARGUMENTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo local test lint unit permissions faults hostile build deploy picture format clean

help: ## Say what there is.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | sort | expand -t 12

setup: .venv/.locked ## Install what everything else needs, below .tools and .venv.

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet uv==0.13.9

.venv/.locked: $(UV) uv.lock pyproject.toml
	$(UV) sync --locked --quiet
	@touch $@

checks/.venv/.locked: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=checks/.venv $(UV) sync --locked --quiet --only-group checks
	@touch $@

demo: setup ## Watch models go from training to production on the embedded AWS.
	@$(RUN) python -m sandbox.demo

local: setup ## Keep the embedded AWS running, with all stacks deployed.
	@$(RUN) python -m sandbox.serve

test: setup lint build ## Run every check.
	$(RUN) pytest -n auto --dist worksteal --permissions
	$(RUN) python -m tests.permissions

lint: setup checks/.venv/.locked ## Check format, style, types and templates.
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) codespell
	$(RUN) python -m checks.language
	$(SAM) validate --lint
	$(SAM) validate --lint --template upstream.yaml
	checks/.venv/bin/python -W ignore -m checks

unit: setup ## Run the tests that need no embedded AWS.
	$(RUN) pytest tests/unit tests/test_linter.py tests/test_wiring.py

permissions: setup ## Hold what the policies grant beside what the last `make test` needed.
	$(RUN) python -m tests.permissions

faults: setup ## Try promotions with every fault at every call: an hour; ARGUMENTS=--resume goes on with it.
	$(RUN) python -m tests.faults $(ARGUMENTS)

hostile: setup ## Try every hostile input, and print how each was refused.
	@$(RUN) python -m tests.hostile_inputs

build: setup ## Build what is deployed.
	$(SAM) build --cached --parallel
	$(SAM) build --cached --parallel --template upstream.yaml --build-dir .aws-sam/upstream

deploy: build ## Deploy one environment of samconfig.toml: make deploy STAGE=qa
	$(SAM) deploy --config-env $(STAGE)

picture: setup ## Draw the state machine into the README anew.
	$(RUN) python -m docs.picture

format: setup ## Put the code into its format.
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean: ## Remove all that was built and installed.
	rm -rf .aws-sam .hypothesis .local .mypy_cache .pytest_cache .ruff_cache .tools .venv checks/.venv
