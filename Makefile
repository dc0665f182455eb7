# Thin doors to the `earmark` command line and to the tests. `make` alone lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up down clean test check static style types parallel alone simulate flaws chaos crash-points fuzz coverage bench hops large-proof growth soak acceptance record-release docs lock distclean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first Python that is new enough; name another with `make PYTHON=/path/to/python3.12 …`.
PYTHON ?= $(shell for one in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$one"; break; }; done)
PYTEST := $(BIN)/python -m pytest
RESULTS := build/acceptance
# Kept compiled also where the environment says not to: the tests start services hundreds of times, a sixth of each start was compiling.
export PYTHONDONTWRITEBYTECODE :=

help: ## list the targets
	@echo "Earmark: stock promised exactly once. Two commands to begin with: make demo, make test."
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-19s %s\n", $$1, $$2 }'

# ------------------------------------------------------------------------------ the environment

# uv installs in three seconds what takes pip a minute. Where it does not run here or does not know this network, pip does it.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --native-tls
OURSELVES := --no-deps --no-build-isolation -e .

$(STAMP): requirements/all.txt requirements/uv.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Earmark needs Python 3.11 or newer, and none is on the PATH: install it, or run make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is not Python 3.11 or newer: install that, or run make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "$(PYTHON) has no venv module: install it (Debian and Ubuntu: apt install python3-venv) and run make again" >&2; exit 1; }
	@echo "Preparing $(VENV) with $$("$(PYTHON)" --version) (once; later runs start at once)" >&2
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@{ $(PIP) --require-hashes -r requirements/uv.txt && $(UV) --require-hashes -r requirements/all.txt && $(UV) $(OURSELVES); } >$(VENV)/uv.log 2>&1 \
		|| { $(PIP) --require-hashes -r requirements/all.txt && $(PIP) $(OURSELVES); } \
		|| { echo "The packages could not be installed: see pip's reason above (mostly the network or a proxy), then run make again" >&2; exit 1; }
	@touch $@

# ------------------------------------------------------------------------------ see it run

demo: $(STAMP) ## orders in, allocation events out, live: make demo [ORDERS=file.csv] [ARGS=--json]
	@$(BIN)/earmark demo $(if $(ORDERS),--orders "$(ORDERS)") $(ARGS)

up: $(STAMP) ## start Kafka, Postgres and all services, and keep them running
	@$(BIN)/earmark up $(ARGS)

down: ## stop what `make up` started; the data stays
	@test ! -x $(BIN)/earmark || $(BIN)/earmark down $(ARGS)

clean: ## stop everything and remove its data; asks, unless ARGS=--yes
	@test ! -x $(BIN)/earmark || $(BIN)/earmark clean $(ARGS)
	@rm -rf build

distclean: clean ## clean, and remove the virtual environment too
	@rm -rf $(VENV)

# ------------------------------------------------------------------------------ prove it

test: $(STAMP) ## everything that passes or fails on one machine (one gate for people and CI)
	@$(MAKE) --no-print-directory style
	@$(MAKE) --no-print-directory -j2 types parallel
	@$(MAKE) --no-print-directory alone

check: $(STAMP) ## the quick gate: format, lint, types, architecture, unit and contract tests
	@$(MAKE) --no-print-directory static
	@$(PYTEST) -q -n auto -m "not integration" tests/unit tests/contract tests/fuzz $(ARGS)

static: style types ## format, lint, types, architecture

style: $(STAMP)
	@$(BIN)/ruff format --check --quiet . || { echo "Run: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .

types: $(STAMP)
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-logo

# A worker that has nothing left takes from the other: without it one of two cores idled for the last quarter.
parallel: $(STAMP)
	@$(PYTEST) -q -n auto --dist worksteal -m "not alone" --acceptance-results=$(RESULTS)/parallel.json $(ARGS)

# One at a time on the same servers: each of two workers has its own, unless they are named.
alone: $(STAMP)
	@$(PYTEST) -q -n $(if $(EARMARK_KAFKA),1,2) --servers-each -m alone --acceptance-results=$(RESULTS)/alone.json $(ARGS)

simulate: $(STAMP) ## seeded simulation on all cores: make simulate SEEDS=10000, or SEED=4711 to replay one
	@$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

flaws: $(STAMP) ## plant every known bug in the simulation and write what finds it into docs/planted-bugs.md; takes ten minutes
	@$(BIN)/python -m tests.simulation --flaws --write $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

chaos: $(STAMP) ## real processes under random faults: make chaos MINUTES=10, or SEED=4711 for the same faults again
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

crash-points: $(STAMP) ## every named crash point so many times under load: make crash-points TIMES=100
	@$(BIN)/python -m tests.chaos --crash-points $(or $(TIMES),100) $(ARGS)

fuzz: $(STAMP) ## look for input that breaks a promise: make fuzz MINUTES=60; what is found joins tests/fuzz/corpus
	@$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

coverage: $(STAMP) ## branch coverage of the pure parts by their unit tests; what is not covered is listed
	@mkdir -p build
	@$(BIN)/python -m coverage run -m pytest -q tests/unit/allocator tests/unit/orders tests/unit/inventory tests/unit/partitions $(ARGS)
	@$(BIN)/python -m coverage report

bench: $(STAMP) ## measure against the two yardsticks, all rows or ROW="hot"; the table also goes to build/bench.json
	@$(BIN)/python -m tests.benchmarks --row "$(ROW)" $(ARGS)

hops: $(STAMP) ## where the time of one order goes, from its request to its event
	@$(BIN)/python -m tests.benchmarks.hops

large-proof: $(STAMP) ## earmark verify --from-log at ten million reservations while orders come, or RESERVATIONS=100000; filling alone takes 15 to 25 minutes
	@$(BIN)/python -m tests.large_proof $(if $(RESERVATIONS),--reservations $(RESERVATIONS)) $(ARGS)

growth: $(STAMP) ## the same work at sizes that grow by ten: make growth, or SWEEP=waiters; the picture goes to build/growth.svg
	@$(BIN)/python -m tests.growth --sweep "$(SWEEP)" $(ARGS)

soak: $(STAMP) ## steady work at half of the maximum rate, what grows is found: make soak MINUTES=60, or RATE=500 orders a second
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(ARGS)

# Failed tests belong into the report (status 1); a run that did not take place (2 and above) would report promises as untested.
acceptance: $(STAMP) ## run every test that proves an acceptance behaviour, list what is proven and what is not
	@rm -rf $(RESULTS)
	@$(PYTEST) -q -n auto -m "accept and not alone" --acceptance-results=$(RESULTS)/parallel.json || test $$? -eq 1
	@$(PYTEST) -q -m "accept and alone" --acceptance-results=$(RESULTS)/alone.json || test $$? -eq 1
	@$(BIN)/python -m tests.acceptance $(RESULTS) $(ARGS)

# ------------------------------------------------------------------------------ generated files

record-release: $(STAMP) ## run a release and keep what it leaves behind, for the tests of old data: make record-release COMMIT=29af3b6
	@$(BIN)/python -m tests.old_data $(COMMIT)

docs: $(STAMP) ## write docs/schemas and docs/asyncapi.json from the code
	@$(BIN)/python deploy/generate_docs.py

lock: $(STAMP) ## resolve the newest versions that pyproject.toml allows into requirements/*.txt
	@$(LOCK) --all-extras pyproject.toml requirements/build.in -o requirements/all.txt
	@$(LOCK) -c requirements/all.txt pyproject.toml requirements/build.in -o requirements/production.txt
	@echo uv | $(LOCK) - -o requirements/uv.txt
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --upgrade
