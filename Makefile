# What people type. The work is done by tools/ and by the command line of the package.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
PG_CONFIG ?=
export PYTHON CIO_RUNTIME

RUNTIME = runtime="$$(tools/runtime.sh)"; bin="$$runtime/venv/bin"

.PHONY: help demo test lint docs pytest clients oracle soak storm bench dashboard up install uninstall clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: ## query a simulated workspace; on a terminal, psql follows
	@$(RUNTIME); "$$bin/cio-fdw" demo

up: ## embedded PostgreSQL with your workspace in it (needs CIO_APP_API_KEY); ARGS='--region eu'
	@$(RUNTIME); exec "$$bin/cio-fdw" up $(ARGS)

test: lint pytest ## lint and the whole suite; PG_CONFIG=/usr/bin/pg_config: on that PostgreSQL

lint: ## ruff, mypy, and whether the generated documentation is up to date
	@$(RUNTIME); "$$bin/ruff" check . ; "$$bin/ruff" format --check . ; "$$bin/mypy" --cache-dir="$$runtime/mypy"; \
	"$$bin/python" tools/docs.py --check

docs: ## write the generated parts of the documentation
	@$(RUNTIME); "$$bin/python" tools/docs.py

pytest: ## the test suite; ARGS='tests/unit -k name' narrows it
	@$(RUNTIME); export CIO_TEST_PG_CONFIG="$(PG_CONFIG)" HYPOTHESIS_STORAGE_DIRECTORY="$$runtime/hypothesis" PYTHONDONTWRITEBYTECODE=1; \
	"$$bin/python" -m pytest -o cache_dir="$$runtime/pytest" $(ARGS)

clients: ## what people connect with: drivers and tools against the tables; fetched on first use
	@$(RUNTIME); tools/clients.sh "$$runtime"; CIO_CLIENTS=1 $(MAKE) pytest ARGS="tests/clients $(ARGS)"

oracle: ## 20,100 generated statements against plain copies; CIO_ORACLE_SEED=… repeats a run
	@CIO_ORACLE_STATEMENTS="$${CIO_ORACLE_STATEMENTS:-20100}" $(MAKE) pytest ARGS="tests/oracle $(ARGS)"

soak: ## ten minutes of faults, cancels and kills, every answer checked; CIO_SOAK_S=60 shortens it
	@$(RUNTIME); CIO_SOAK_S="$${CIO_SOAK_S:-600}" CIO_SOAK_WRITE=1 CIO_SOAK_LOG="$${CIO_SOAK_LOG:-$$runtime/soak.log}" $(MAKE) pytest ARGS="tests/soak $(ARGS)"

storm: ## ten thousand cancels in one backend, and 200 backends that are cancelled and terminated at random
	@CIO_STORM_CANCELS="$${CIO_STORM_CANCELS:-10000}" CIO_STORM_BACKENDS="$${CIO_STORM_BACKENDS:-200}" $(MAKE) pytest ARGS="tests/native/test_storm.py tests/native/test_crowd.py $(ARGS)"

dashboard: ## Apache Superset on a simulated workspace: its charts checked, its picture in docs/images
	@$(RUNTIME); "$$bin/python" -m tools.dashboard

bench: ## measure
	@$(RUNTIME); "$$bin/python" -m bench $(ARGS)

install: ## build and install into a system PostgreSQL: sudo make install PG_CONFIG=/usr/bin/pg_config
	@tools/install.sh install "$(PREFIX)" "$(PG_CONFIG)"

uninstall: ## remove what `make install` installed
	@tools/install.sh uninstall "$(PREFIX)" "$(PG_CONFIG)"

clean: ## remove the runtime directory
	@tools/runtime.sh --remove
