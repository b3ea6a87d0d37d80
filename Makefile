# Every command of the project. `make help` lists them; `make check` and `make test` are what CI runs.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := .tools/bin/uv
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := true

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit("Bottega needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (set PYTHON=...)") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $(UV)

$(VENV)/.installed: $(UV) requirements/run.txt pyproject.toml
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/run.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-dev && touch $@

$(VENV)/.installed-dev: $(UV) requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.installed $@

install: $(VENV)/.installed ## install what running needs into .venv
develop: $(VENV)/.installed-dev ## install what development needs into .venv

demo: $(VENV)/.installed ## build a project from a brief with scripted models: no key, account or server
	@$(BIN)/bottega demo

run: $(VENV)/.installed ## build from a brief with your models: make run BRIEF=brief.md
	@$(BIN)/bottega build --file $(or $(BRIEF),brief.md)

# A third of the time a test waits: three workers keep two cores busy.
test: $(VENV)/.installed-dev ## the whole test suite
	@$(BIN)/pytest -n 3 --dist worksteal

chaos: $(VENV)/.installed-dev ## kill -9 everywhere, storms of kills and of faults: it goes on by itself, nothing twice; ONLY="tests/..." for some
	@$(BIN)/pytest -m slow -n 2 --dist worksteal $(or $(ONLY),tests/journeys tests/entrypoints)

test-deep: $(VENV)/.installed-dev ## money at length: a thousand ledger histories, payments in every order, a killed server
	@$(BIN)/pytest -m slow -n 2 --dist worksteal tests/billing --ignore tests/billing/test_fault_matrix.py --ignore tests/billing/test_ledger_mutations.py

test-matrix: $(VENV)/.installed-dev ## ten thousand calls through every fault: our ledger is the provider's (minutes)
	@$(BIN)/pytest tests/billing/test_fault_matrix.py -m slow

test-mutations: $(VENV)/.installed-dev ## take the ledger's guards away one by one; each must be missed
	@$(BIN)/pytest -m slow -rP -n 2 --dist worksteal tests/billing/test_ledger_mutations.py

test-api-fuzz: $(VENV)/.installed-dev ## the API explored at length by Schemathesis: API_FUZZ_EXAMPLES=50 of each route
	@$(BIN)/pytest -m slow tests/entrypoints/http/api/test_fuzz.py

docs-api: $(VENV)/.installed-dev ## ask an installation for examples; write docs/api.md from the API's own description
	@API_EXAMPLES=write $(BIN)/pytest -q tests/entrypoints/http/api/test_examples.py -k real_answer
	@$(BIN)/python -m bottega.entrypoints.http.docs > docs/api.md

bench-api: $(VENV)/.installed-dev ## requests a second over HTTP, beside a bare route that asks the same of the database
	@$(BIN)/python -m benchmarks.api

AIDER := .tools/bin/aider
$(AIDER): $(UV)
	@UV_TOOL_DIR=.tools/aider UV_TOOL_BIN_DIR=.tools/bin $(UV) tool install --quiet --python "$(AIDER_PYTHON)" aider-chat==0.86.2

AIDER_PYTHON ?= $(PYTHON)
test-aider: $(VENV)/.installed-dev $(AIDER) ## refine with the real Aider: installs 544 MB once; AIDER_PYTHON=python3.12 if yours is newer
	@$(BIN)/pytest -m aider

DEPLOY_TOOLS := .tools/deploy/.installed
$(DEPLOY_TOOLS): $(UV) requirements/deploy.txt
	@test -x .tools/deploy/bin/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .tools/deploy
	@$(UV) pip sync --quiet --python .tools/deploy/bin/python --require-hashes requirements/deploy.txt
	@touch $@

check-deploy: $(VENV)/.installed-dev $(DEPLOY_TOOLS) ## the image, compose and Kubernetes files, offline; wants kubectl or kustomize
	@$(BIN)/pytest -q -m deploy tests/deploy

bench-bot: $(VENV)/.installed-dev ## how soon the bot hears five hundred people, and how fast it may answer
	@$(BIN)/python -m benchmarks.bot

bench-ledger: $(VENV)/.installed-dev ## how many calls a second the ledger pays for, beside pgbench
	@$(BIN)/python -m benchmarks.ledger $(PROCESSES)

bench-load: $(VENV)/.installed-dev ## a thousand projects at once, and how many steps a second: PARTS="a c" for some of it
	@$(BIN)/python -m benchmarks.load $(PARTS)

bench-storm: $(VENV)/.installed-dev ## builds of eleven tasks while 35 of 100 model calls fail, with the shipped waits
	@$(BIN)/python -m benchmarks.storm $(SEEDS)

bench-task: $(VENV)/.installed-dev ## what the platform itself costs, against an instant provider
	@$(BIN)/python -m benchmarks.task

check: lint types imports ## what must be clean before a commit

lint: $(VENV)/.installed-dev ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev ## ruff: mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.installed-dev ## mypy strict on src, tests and benchmarks
	@$(BIN)/mypy

imports: $(VENV)/.installed-dev ## import contracts
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

lock: $(UV) ## rewrite the hash-pinned lock files
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml requirements/build.in -o requirements/run.txt
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --group dev pyproject.toml requirements/build.in -c requirements/run.txt -o requirements/dev.txt
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 requirements/deploy.in -o requirements/deploy.txt

clean: ## remove what the commands above made
	@rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help install develop demo run test chaos test-deep test-matrix test-mutations test-api-fuzz docs-api bench-api test-aider check-deploy bench-bot bench-ledger bench-load bench-storm bench-task check lint format types imports lock clean
