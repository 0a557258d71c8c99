# `make demo` shows a promotion from training to production, `make test` runs every check. Both install what they need.

PYTHON ?= python3
UV := .tools/bin/uv
RUN := $(UV) run --locked --no-sync
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 $(RUN) sam
STAGE ?= qa
ARGUMENTS ?=

# The processes of the tests would otherwise compile all that they import, each for itself.
unexport PYTHONDONTWRITEBYTECODE

# With an arena for each of their many threads, the processes of the tests would keep more memory than they use.
export MALLOC_ARENA_MAX := 1

.DEFAULT_GOAL := help
.PHONY: help demo local train setup hooks format unit docs aws-images service-models clean test lint permissions faults \
	faults-page explore hostile scale probe e2e build deploy

help: ## List the commands.
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)

##@ Use it without an AWS account

demo: setup ## Run six promotions on the embedded AWS and show each step.
	@$(RUN) python -m sandbox.demo

local: setup ## Run the embedded AWS with all stacks deployed, until you press Ctrl-C.
	@$(RUN) python -m sandbox.serve

train: setup ## Train the example in the accounts of `make local`, which promote it.
	@$(RUN) python -m sandbox.train

##@ Develop

setup: .venv/.locked ## Install the locked tools into .tools and .venv.

hooks: setup ## Install the pre-commit hooks (ruff and mypy).
	$(RUN) pre-commit install

format: setup ## Format the code and apply ruff's fixes.
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

unit: setup .old-runtime/.locked ## Run the tests that do not need the embedded AWS.
	$(RUN) pytest tests/unit tests/test_linter.py tests/test_wiring.py

docs: setup ## Generate the state graph, the tables and the list of messages in docs/.
	$(RUN) python -m docs.picture
	PYTHONPATH=functions $(RUN) python -m docs.record
	$(RUN) python -m docs.effects
	$(RUN) python -m docs.limits
	PYTHONPATH=functions $(RUN) python -m docs.acceptance
	PYTHONPATH=functions:. $(RUN) python -m docs.probes
	$(RUN) python -m docs.messages
	PYTHONPATH=functions $(RUN) python -m docs.json_schemas
	PYTHONPATH=functions $(RUN) python -m docs.overhead

aws-images: $(UV) ## Generate the table of AWS's images from the data of the SageMaker Python SDK.
	$(UV) pip install --quiet --no-deps --target .aws-images "$$($(RUN) python -m checks.aws_images)"
	$(RUN) python -m checks.aws_images .aws-images
	rm -rf .aws-images

service-models: setup ## Generate the service models of the functions from those of the locked botocore.
	$(RUN) python -m checks.service_models

clean: ## Remove everything that was built or installed.
	rm -rf .aws-sam .hypothesis .local .mypy_cache .old-runtime .oracles .pytest_cache .ruff_cache .tools .venv \
		checks/.venv

##@ Check

test: setup .old-runtime/.locked .oracles/.locked lint build ## Run every check, as CI does.
	$(RUN) pytest -n auto --dist worksteal --permissions
	$(RUN) python -m tests.permissions

lint: setup checks/.venv/.locked ## Check format, style, types, imports and templates.
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) codespell
	$(RUN) python -m checks.language
	PYTHONPATH=functions:. $(RUN) lint-imports --no-cache
	$(SAM) validate --lint
	$(SAM) validate --lint --template upstream.yaml
	$(SAM) validate --lint --template people.yaml
	$(SAM) validate --lint --template application.yaml
	checks/.venv/bin/python -W ignore -m checks

permissions: setup ## Report which permissions the last `make test` required, and what each role could change.
	$(RUN) python -m tests.permissions
	$(RUN) python -m tests.permissions.effects

faults: setup ## Inject every fault and change at every AWS call (takes days). ARGUMENTS=--resume continues a run.
	PYTHONPATH=functions $(RUN) python -m tests.faults $(ARGUMENTS)

faults-page: setup ## Write the totals of the last `make faults` into docs/faults.md.
	PYTHONPATH=functions $(RUN) python -m docs.faults

explore: setup ## Search all schedules of concurrent promotions (takes an hour). ARGUMENTS="--switches 2" sets bounds.
	PYTHONPATH=functions AWS_DEFAULT_REGION=eu-west-1 AWS_CONFIG_FILE=/dev/null $(RUN) python -m tests.explorer $(ARGUMENTS)

hostile: setup ## Try every hostile input, and list the attacks of the tests and what stops each.
	@$(RUN) python -m tests.hostile_inputs

scale: setup ## Promote 200 applications at once within AWS's quotas (minutes). ARGUMENTS=1000 sets another number.
	@PYTHONPATH=functions AWS_DEFAULT_REGION=eu-west-1 AWS_CONFIG_FILE=/dev/null $(RUN) python -W ignore -m tests.scale $(ARGUMENTS)

##@ Compare with AWS

probe: setup ## Compare the beliefs about AWS with an account, for example: AWS_PROFILE=qa make probe STAGE=qa
	@PYTHONPATH=functions $(RUN) python -m tests.deployed.probe --stage $(STAGE) $(ARGUMENTS)

e2e: setup build ## Play the demo's story in real accounts, for example: make e2e ARGUMENTS="--profile sandbox"
	@PYTHONPATH=functions $(RUN) python -m tests.deployed.e2e $(ARGUMENTS)

##@ Deploy

build: setup ## Build the functions and templates.
	$(SAM) build --cached --parallel
	$(SAM) build --cached --parallel --template upstream.yaml --build-dir .aws-sam/upstream
	@# A function cannot write bytecode, so each cold start would compile its modules. Unpacking changes their times.
	$(RUN) sh -ec 'for function in $$(find .aws-sam/build -mindepth 1 -maxdepth 1 -type d); do python -m compileall -q \
		--invalidation-mode unchecked-hash -s $$function -p /var/task $$function; done'

deploy: build ## Deploy one environment of samconfig.toml, for example: make deploy STAGE=qa
	$(SAM) deploy --config-env $(STAGE)

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet uv==0.13.9

.venv/.locked: $(UV) uv.lock pyproject.toml
	$(UV) sync --locked --quiet
	@touch $@

checks/.venv/.locked: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=checks/.venv $(UV) sync --locked --quiet --only-group checks
	@touch $@

.old-runtime/.locked: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=.old-runtime $(UV) sync --locked --quiet --only-group old-runtime
	@touch $@

.oracles/.locked: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=.oracles $(UV) sync --locked --quiet --only-group oracles
	@touch $@
