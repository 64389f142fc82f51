# Every recipe is one line. deploy/local/bootstrap.py, and the programs that it starts, do the work.

# The first Python on this machine that is new enough. `make PYTHON=/path/to/python3.12 …` chooses another.
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python $(IS_NEW_ENOUGH) 2>/dev/null && echo $$python && break; done), \
	$(error Python 3.11 or newer is needed, and none is on the PATH: apt install python3 python3-venv))
SET_UP = $(PYTHON) -m deploy.local.bootstrap

# Otherwise npm sends the list of packages to its registry, and looks for newer versions of itself.
export npm_config_audit := false
export npm_config_fund := false
export npm_config_update_notifier := false
# Otherwise ONNX Runtime sends telemetry to its maker; worker/__init__.py sets this too.
export ORT_DISABLE_TELEMETRY := 1

# File names are passed in the environment, unexpanded, and never in a shell's command line: they may contain anything.
override SONG := $(value SONG)
override OUT := $(value OUT)
override ENGINE := $(value ENGINE)
override FORMAT := $(value FORMAT)
override EXCERPT := $(value EXCERPT)
override AUDIO_STREAM := $(value AUDIO_STREAM)
override STEMS := $(value STEMS)
override MIX := $(value MIX)
export SONG OUT ENGINE FORMAT EXCERPT AUDIO_STREAM STEMS MIX ITEMS SONGS

.PHONY: which-python environment help run admin models test tests test-compose lint test-fault-quick test-fault soak page-check bench bench-api bench-queue lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

run: ## Start the whole stack; with SONG=… [OUT=… ENGINE=… FORMAT=… EXCERPT=90+20 AUDIO_STREAM=2 STEMS=… MIX=minus:vocals] separate one song and exit
	@exec $(SET_UP) run -m $(if $(SONG),deploy.local.one_song,deploy.local.stack)

admin: ## Inspect or operate the running stack: DO="status", DO="keys create", DO="--help"
	@exec $(SET_UP) run -m deploy.local.make_admin $(or $(DO),status)

models: ## Models: DO="list", DO="add htdemucs", DO="check htdemucs --sound", DO="remove htdemucs"
	@exec $(SET_UP) models -m worker.model_setup.catalog $(or $(DO),list)

# The tests mostly wait for processes that they started, so more of them run at once than there are cores.
TESTS = tests/unit tests/integration tests/end_to_end tests/browser
# tests/conftest.py orders the files. xdist would put those with few tests last, which take longest.
PYTEST = .venv-test/bin/python -I -m pytest -m "not slow"
BY_FILE = --dist loadfile --no-loadscope-reorder

# axe checks the accessibility of the page in the browser tests. Without npm or a network those tests are skipped.
AXE = api/web/source/node_modules/.package-lock.json
$(AXE): api/web/source/package-lock.json
	@! command -v npm >/dev/null || npm ci --silent --prefer-offline --fetch-retries=1 --prefix api/web/source || true

environment:
	@$(SET_UP) test

test: lint tests ## Lint, then every test that takes seconds, against the package as installed

# CI sets ALSO=tests/fault: these tests wait for leases while the others compute, hence one process more.
tests: environment $(AXE)
	$(PYTEST) -n $(if $(ALSO),5,4) $(BY_FILE) $(TESTS) $(ALSO)

test-compose: ## The services in Docker: images, outages, upgrade, proxy. Without an engine it gets one for the test, as root
	@$(SET_UP) test
	@tests/compose/engine.sh run .venv-test/bin/python -I -m pytest tests/compose

which-python: ## Print the version of the Python that creates the environments
	@$(PYTHON) --version

lint: environment ## Ruff, mypy, import-linter, the Lua linter and promtool
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports
	.venv-test/bin/python -m tests.lint.lua
	@sh deploy/prometheus/check.sh

# The deployments under test mostly wait, so more of them run at once than there are cores.
test-fault-quick: environment ## The fault tests with short leases, as CI runs them
	$(PYTEST) -n 4 tests/fault

test-fault: ## All fault tests, some with the default settings
	@$(SET_UP) test
	.venv-test/bin/python -I -m pytest -n 3 tests/fault

MINUTES ?= 10
soak: ## A stream of requests while everything is killed and cut off at random; MINUTES=10 [ONLY=outages]
	@$(SET_UP) test
	.venv-test/bin/python -m tests.fault.soak $(MINUTES) $(ONLY)

page-check: environment $(AXE) ## Check the page's types, its built files and its unit tests (needs node)
	cd api/web/source && npm run --silent check && npm test --silent

bench: ## Speed, memory and sound of the engines [FAMILIES=…]; figures go to bench-results/
	@$(SET_UP) bench -m tests.bench.engines $(FAMILIES)

bench-api: ## Polling, event streams, and submitting to a long queue; both sides of each ratio
	@$(SET_UP) bench -m tests.bench.api.speed

bench-queue: ## Batches: read 100,000 lines, run them to the end, separate whole songs [PARTS="reading end songs" ITEMS= SONGS= ENGINE=]
	@$(SET_UP) bench -m tests.bench.batches.queue $(PARTS)

COMPILE = .venv-test/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: ## Lock requirements/*.in again; all locks have the same versions
	@$(SET_UP) test
	cd requirements && ../$(COMPILE) bench.in -o bench.txt
	cd requirements && for name in dev stack api storage build telemetry; do ../$(COMPILE) -c bench.txt $$name.in -o $$name.txt; done
	cd requirements && ../$(COMPILE) -c bench.txt worker.in -o worker.txt --no-emit-package scikit-learn --no-emit-package joblib --no-emit-package narwhals
	cd requirements && ../$(COMPILE) -c bench.txt models.in -o models.txt --no-emit-package numpy

clean: ## Remove environments, builds and caches; jobs and stems stay
	rm -rf .venv .venv-models .venv-test .venv-bench build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
