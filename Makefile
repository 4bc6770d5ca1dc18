# Everything a developer types. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help install demo test test-postgres nightly check down clean format config transcripts lock install-server bench-storage bench-search bench-ingest

PORT ?= 8000
PYTHON ?= python3
export PORT PYTHON
BIN := .venv/bin
# Where there is a disk in memory, nobody waits for a sync; `make test` uses the real one.
QUICK_TMPDIR := $(or $(wildcard /dev/shm),$(TMPDIR),/tmp)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make .venv and install the server and the development tools
	@scripts/install.sh server dev

install-server:
	@scripts/install.sh server

demo: install-server ## Start a server, ingest the examples, ask three questions (PORT=8000)
	@scripts/demo.sh

# Tests that start servers want the machine for themselves; the others do not get in each other's way.
test: install ## Run all tests
	@$(BIN)/pytest -n 2 --dist worksteal tests/unit tests/contract
	@$(BIN)/pytest tests/model tests/integration tests/e2e

test-postgres: install ## Run the tests that keep a catalog on PostgreSQL, which must be installed (some minutes)
	@$(BIN)/pytest -n 2 --dist worksteal --database=postgresql tests/unit/storage/catalog tests/unit/serve tests/contract

nightly: install ## Look further for lost writes, and break the storage on purpose (most of an hour)
	@scripts/nightly.sh

check: install ## Format, lint, types, import rules and quick unit tests, in under a minute
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@TMPDIR=$(QUICK_TMPDIR) $(BIN)/pytest -q -n 2 -m "not slow" --hypothesis-profile=check tests/unit

down: ## Stop the demo server
	@if [ -x $(BIN)/vectoray ]; then $(BIN)/vectoray down --data-dir .demo; else echo "Nothing is installed."; fi

clean: down ## Stop the demo server; remove its data, the caches and .venv
	@rm -rf .demo .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

format: install ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

config: install ## Write configs/local.yaml from the settings
	@$(BIN)/python -m scripts.render_config

transcripts: install ## Ask a server all that docs/api asks, and write its answers there (a minute)
	@$(BIN)/python -m scripts.transcripts.run

lock: install ## Write constraints.txt from what .venv holds
	@scripts/lock.sh

bench-storage: install ## Measure the storage engine against its required figures (some minutes)
	@$(BIN)/python -m scripts.bench.storage $(BENCH)

bench-search: install ## Measure searches and writes over REST, beside other systems (a quarter of an hour)
	@scripts/install.sh bench
	@$(BIN)/python -m scripts.bench.serving.run $(BENCH)

bench-ingest: install ## Measure ingestion, from files to searchable chunks (most of an hour)
	@scripts/install.sh bench
	@$(BIN)/python -m scripts.bench.ingest.run $(BENCH)
