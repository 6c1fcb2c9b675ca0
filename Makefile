# Each target sets up what it needs, the virtual environment included, and is quick the second time.
# Another Python:  make setup PYTHON=/path/to/python3.12      More arguments:  make test ARGS="-k greeting"

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs audit sbom bench fuzz faults format screens coverage \
	constraints clean foreign

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FOREIGN := tests/foreign tests/editor
FOREIGN_READY := $(addsuffix /node_modules/.ready,$(FOREIGN))
NPM := $(shell command -v npm)
ARGS ?=

# A name on the path is not yet a Python that starts, so each candidate is asked.
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

# The parts that decide what is sent and what is not: every branch of them is tested.
WHOLLY_COVERED := imbot/bayeux/session.py,imbot/gws/notifications.py,imbot/engine/sessions.py,imbot/rulebook/expressions*

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Make the virtual environment and install imbot into it, hashes verified

demo: $(READY) ## Run imbot against its own simulator, with parties that talk to it
	$(BIN)/imbot demo $(ARGS)

# A part of which ARGS selects nothing ends with 5; it is no failure unless all of them do.
test: $(READY) foreign ## Run every test: on all processors, then those that want a processor, or the machine, for themselves
	@ended=5; play() { \
		code=0; $(BIN)/python -m pytest -m "$$@" $(ARGS) || code=$$?; \
		case "$$code $$ended" in "0 5") ended=0 ;; "0 0" | "5 "*) ;; *) ended=1 ;; esac; }; \
	play "not alone and not timed" -n auto --dist worksteal; \
	play "alone and not timed" -n 2 --dist loadfile --cov-append; \
	play timed --cov-append; \
	exit $$ended

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

docs: $(READY) ## Make a site of the documentation, its links checked
	@$(BIN)/python docs/publish.py build/docs

audit: $(READY) ## Ask whether faults are known of anything that imbot needs; fails where nobody can be asked
	@$(BIN)/python deploy/audit.py

sbom: $(READY) ## Write what an installed imbot consists of (CycloneDX), and the licences of it
	@$(BIN)/python deploy/sbom.py build/sbom

bench: $(READY) ## Measure against the yardsticks and print the tables
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(READY) ## Give the checker random rule files and expressions (RULES=1000000 EXPRESSIONS=300000), the wires random answers (DECODER=5000000)
	$(BIN)/python -m tests.fuzz $(if $(RULES),--rules $(RULES)) $(if $(EXPRESSIONS),--expressions $(EXPRESSIONS)) \
		$(if $(DECODER),--decoder $(DECODER)) $(if $(SEED),--seed $(SEED)) $(ARGS)

faults: $(READY) ## Play seeds of the fault simulation: make faults SEEDS=20000 FIRST=1, HASHES=100, CANARIES=all
	$(BIN)/python -m tests.faults --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),1) \
		$(if $(HASHES),--hashes $(HASHES)) $(if $(CANARIES),--canaries $(CANARIES)) $(ARGS)

format: $(READY) ## Write the code as the formatter wants it
	$(BIN)/python -m ruff check --fix-only .
	$(BIN)/python -m ruff format .

screens: $(READY) ## Take the pictures of the documentation anew, with the tests in a browser (needs Chromium)
	KEEP_SCREENS=1 $(BIN)/python -m pytest tests/browser $(ARGS)

coverage: ARGS += --cov --cov-report=
coverage: test ## Run every test and fail where too few branches are covered
	$(BIN)/python -m coverage report --fail-under=95
	$(BIN)/python -m coverage report --fail-under=100 --include='$(WHOLLY_COVERED)'

constraints: ## Write constraints.txt anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra fast --extra dev --extra audit --extra docs --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --quiet \
		--custom-compile-command 'make constraints' --output-file constraints.txt

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(addsuffix /node_modules,$(FOREIGN)) build dist htmlcov .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "imbot needs Python 3.11 or newer and found none; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("imbot needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0])'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)

# The first line verifies every file against its hash; the second adds imbot itself and fetches nothing; the
# third compiles what a start imports: where Python may not keep bytecode, each start would take seconds more.
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import imbot.cli.demo'
	@touch $@

# Servers that we did not write: GWS-like ones, and the one that editors ask about YAML. A user's machine may
# lack them, CI may not.
SKIPPED := the tests that need it will be skipped

ifeq ($(NPM),)
foreign:
	@echo "npm is missing: $(SKIPPED)" >&2; test -z "$${CI-}"
else
foreign: $(FOREIGN_READY)

%/node_modules/.ready: %/package.json
	@if npm install --prefix $* --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error; \
	then touch $@; else echo "npm could not fetch what $< names: $(SKIPPED)" >&2; test -z "$${CI-}"; fi
endif
