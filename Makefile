# Every target sets up .venv by itself; the second time it finds it ready.
PYTHON ?= python3
BIN := .venv/bin
PROJECTS := $(wildcard kernel/pyproject.toml plugins/*/pyproject.toml apps/*/pyproject.toml)
CODE := kernel plugins apps tests
# Tests start hundreds of nodes as processes: where an image sets this, each of them would compile all of Guthi anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench figures screenshots fuzz chaos soak scale docs reference dist check-dist format clean

demo: .venv/ready
	$(BIN)/guthi demo mandelbrot

test: .venv/ready
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

# All of it takes six minutes and renews docs/benchmarks.*, docs/comparison.md; a short look: make bench PEERS=zmq,tcp SECONDS=1 STARTS=2
bench: .venv/bench-ready
	PYTHONPATH=tests $(BIN)/python -m performance $(if $(PEERS),--peers $(PEERS)) \
	    $(if $(SECONDS),--seconds $(SECONDS)) $(if $(STARTS),--starts $(STARTS)) \
	    $(if $(OUTPUT),--output $(OUTPUT),$(if $(PEERS)$(SECONDS)$(STARTS),,--output docs))
	PYTHONPATH=. $(BIN)/python -m tests.reference

# A million mutated datagrams against whole nodes; fewer: make fuzz COUNT=20000 SEED=7
fuzz: .venv/ready
	PYTHONPATH=. $(BIN)/python -m tests.fuzz $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

# Faults on real nodes on five hosts, which are namespaces, for ten minutes; less: make chaos MINUTES=2 SEED=7
chaos: .venv/ready
	PYTHONPATH=. $(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
	    $(if $(ONLY),--only $(ONLY)) $(if $(OUTPUT),--output $(OUTPUT))

# Real nodes under steady load for an hour, which may use no more at its end than at its beginning: make soak MINUTES=20
soak: .venv/ready
	PYTHONPATH=. $(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES))

# Simulated worlds of up to a thousand nodes, some minutes; only some of them: make scale ONLY=membership
scale: .venv/ready
	PYTHONPATH=. $(BIN)/python -m tests.scale $(ONLY)

# The figures of the docs that take half an hour to measure, with their plots; only some: make figures ONLY=health
figures: .venv/bench-ready
	set -e; for each in $(or $(ONLY),mutex_messages health); do PYTHONPATH=. $(BIN)/python -m tests.figures.$$each; done

# The pictures of docs/dashboard.md and docs/whiteboard.md, which need chromium and chromium-driver
screenshots: .venv/ready
	PYTHONPATH=. $(BIN)/python -m tests.figures.screenshots

# All wheels, into dist/; the build tool is in .venv already
dist: .venv/ready
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist \
	    $(addprefix ./,$(dir $(PROJECTS)))

# What a stranger does with them: installs them into a clean environment, writes a plugin, tests it, runs the demo
check-dist: dist
	GUTHI_WHEELS=$(CURDIR)/dist $(BIN)/pytest tests/system/test_wheels.py tests/system/test_upgrade.py

# A warning is an error, but for mkdocs --quiet, which does not count what it does not say
docs: .venv/ready-for-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pages that are made of the code: docs/api, parts of docs/configuration.md and docs/hooks.md; and of the figures
# of docs/benchmarks.json, those of docs/comparison.md
reference: .venv/ready
	PYTHONPATH=. $(BIN)/python -m tests.reference

format: .venv/ready
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis site

.venv/ready: requirements-dev.txt $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Guthi needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
	    $(addprefix --editable=./,$(patsubst %/,%,$(dir $(PROJECTS))))
	@touch $@

.venv/bench-ready: .venv/ready requirements-bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

.venv/ready-for-docs: .venv/ready requirements-docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@
