# Every recipe is a line: what they do is in deploy/local/bootstrap.py and what that starts.

# The first Python on this machine that is new enough. `make PYTHON=/path/to/python3.12 …` names another.
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python $(IS_NEW_ENOUGH) 2>/dev/null && echo $$python && break; done), \
	$(error Python 3.11 or newer is needed, and none is on the PATH: apt install python3 python3-venv))
SET_UP = $(PYTHON) -m deploy.local.bootstrap

# npm otherwise tells its registry which packages are here, and asks for newer versions of itself.
export npm_config_audit := false
export npm_config_fund := false
export npm_config_update_notifier := false
# ONNX Runtime otherwise reports to its maker; worker/__init__.py sets this too.
export ORT_DISABLE_TELEMETRY := 1

# Whatever is in a name, it travels through the environment, unexpanded, and never through a shell's line.
override SONG := $(value SONG)
override OUT := $(value OUT)
override ENGINE := $(value ENGINE)
override FORMAT := $(value FORMAT)
override EXCERPT := $(value EXCERPT)
override AUDIO_STREAM := $(value AUDIO_STREAM)
export SONG OUT ENGINE FORMAT EXCERPT AUDIO_STREAM ITEMS SONGS

.PHONY: which-python help run admin test lint test-fault-quick test-fault soak page-check bench bench-api bench-queue lock clean
.DEFAULT_GOAL := help

help: ## Tell what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

run: ## Start the whole stack; with SONG=… [OUT=… ENGINE=… FORMAT=… EXCERPT=90+20 AUDIO_STREAM=2] separate one song and end
	@exec $(SET_UP) run -m $(if $(SONG),deploy.local.one_song,deploy.local.stack)

admin: ## Look at the running stack, or operate it: DO="status", DO="keys create", DO="--help"
	@exec $(SET_UP) run -m deploy.local.admin_command $(or $(DO),status)

# Files of tests go to two processes, which is what a small machine has cores for.
TESTS = tests/unit tests/integration tests/end_to_end tests/browser

# What looks for barriers in the page, for the browser tests; without npm or a network these say so and skip.
AXE = api/web/source/node_modules/.package-lock.json
$(AXE): api/web/source/package-lock.json
	@! command -v npm >/dev/null || npm ci --silent --prefer-offline --fetch-retries=1 --prefix api/web/source || true

test: lint $(AXE) ## Lint, then every test that takes seconds, against the package as installed
	.venv-test/bin/python -I -m pytest -m "not slow" -n 2 --dist loadfile $(TESTS)

which-python: ## Tell which Python the environments are made with
	@$(PYTHON) --version

lint: ## Ruff, mypy, and who may import whom
	@$(SET_UP) test
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports

# Deployments under test mostly wait, so that more of them run side by side than there are cores.
test-fault-quick: ## The fault matrix with short leases, as CI runs it
	@$(SET_UP) test
	.venv-test/bin/python -I -m pytest -m "not slow" -n 4 tests/fault

test-fault: ## The fault matrix at length, with one row on the real settings
	@$(SET_UP) test
	.venv-test/bin/python -I -m pytest -n 3 tests/fault

MINUTES ?= 10
soak: ## A stream of songs while everything is killed at random; MINUTES=10
	@$(SET_UP) test
	.venv-test/bin/python -m tests.fault.soak $(MINUTES)

page-check: ## Check the page's types, its built files and its unit tests (needs node)
	@$(SET_UP) test
	cd api/web/source && npm ci --silent && npm run --silent check && npm test --silent

bench: ## Speed, memory and sound of the engines [FAMILIES=…]; figures go to bench-results/
	@$(SET_UP) bench -m tests.bench.engines $(FAMILIES)

bench-api: ## Cheap polling, event streams, submitting to a long line; both sides of each ratio
	@$(SET_UP) bench -m tests.bench.api_speed

bench-queue: ## Batches: 100,000 lines read and run to their end, whole songs [PARTS="reading end songs" ITEMS= SONGS= ENGINE=]
	@$(SET_UP) bench -m tests.bench.queue $(PARTS)

COMPILE = .venv-test/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: ## Lock requirements/*.in anew; the narrower ones agree with the widest
	@$(SET_UP) test
	cd requirements && ../$(COMPILE) bench.in -o bench.txt
	cd requirements && for name in dev stack worker api storage build; do ../$(COMPILE) -c bench.txt $$name.in -o $$name.txt; done

clean: ## Remove what was made here, except jobs and stems
	rm -rf .venv .venv-test .venv-bench build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
