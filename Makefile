# Every target makes what it needs: Linux, Python 3.11 or newer with its venv module, and make. No compiler, no root.

PYTHON ?= python3
SEEDS ?= 1000
RUNNER ?= sandbox
RUNNERS := sandbox docker kubernetes argo
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A runner's daemon, where this machine has none. Needs root.
BESIDE = $(if $(filter sandbox,$(RUNNER)),,$(BIN)/python -m tests.infra.beside $(RUNNER))

# What every runner must give: each test has a place of its own there. Those that break a daemon have it alone.
GUARANTEES := $(foreach each,$(RUNNERS),tests/runners/test_$(each).py)

.DEFAULT_GOAL := help
.PHONY: help demo test test-real conformance soak lint bench bench-catalog bench-storage bench-privacy bench-runners bench-workflows devnet clean

help:  ## Show this help.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## Three hospitals and an institute, as a story, with a report at its end; RUNNER=docker, kubernetes or argo: steps run there.
	$(if $(filter $(RUNNERS),$(RUNNER)),,$(error RUNNER=$(RUNNER) is no runner; say one of: $(RUNNERS)))
	@$(BESIDE) $(BIN)/python -m cli.main devnet demo --runner $(RUNNER)

test: $(READY)  ## All tests, side by side and in random order.
	@$(BIN)/pytest -n auto --dist worksteal $(TESTS)

test-real: $(READY)  ## Beside software of others: our logs in Go's sumdb, torchwood and Tessera, our trees in Kubo; nodes behind firewalls; runners. Needs Go and root.
	@tests/oracle/run
	@$(BIN)/pytest tests/real
	@$(BIN)/python -m tests.infra.beside all $(BIN)/pytest -n 4 $(GUARANTEES)
	@$(BIN)/pytest tests/runners $(GUARANTEES:%=--ignore=%)

conformance: $(READY)  ## The CWL v1.2 conformance suite, all of it, and its badge line for each tag.
	@$(BIN)/python -m tests.conformance

soak: $(READY)  ## Simulated consortia, inputs to decoders and state machines, many more of them: make soak SEEDS=500.
	@COMITY_SEEDS=$(SEEDS) $(BIN)/pytest -n auto tests/simulation
	@COMITY_FUZZ=$$(( $(SEEDS) * 1000 )) $(BIN)/pytest -n auto tests/fuzz
	@COMITY_MACHINES=$$(( $(SEEDS) / 10 + 1 )) $(BIN)/pytest -n auto -k Machine tests/catalog tests/privacy tests/node/storage tests/node/automator

lint: $(READY)  ## Style, format, types, and which room may import which.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports

bench: $(READY)  ## Measure, each figure beside its reference in the same run.
	@$(BIN)/python -m bench

bench-catalog: $(READY)  ## The figures of logs, catalog, grants, search and audit alone. Needs Go.
	@$(BIN)/python -m bench append catchup growth visible grant search audit

bench-storage: $(READY)  ## The figures of storing and moving bytes alone, beside a Kubo. Needs Go, 60 GB of disk.
	@$(BIN)/python -m bench storage

bench-privacy: $(READY)  ## The figures of deciding, of disclosure control and of carrying out orders alone.
	@$(BIN)/python -m bench policy disclosure automator

bench-workflows: $(READY)  ## The figures of planning and of carrying out a thousand steps alone.
	@$(BIN)/python -m bench workflows scatter

bench-runners: $(READY)  ## The figures of runners and of environments alone. Docker, a cluster and Argo are started where there are none: needs Go and root.
	@$(BIN)/python -m tests.infra.beside docker $(BIN)/python -m tests.infra.beside argo $(BIN)/python -m bench runners environment

devnet: $(READY)  ## Start a consortium on this machine to play with; «comity devnet down» ends it.
	@$(BIN)/python -m cli.main devnet up
	@echo 'The command is $(BIN)/comity; to end it all: $(BIN)/comity devnet down'

clean:  ## Remove what was made here: the environment, caches, reports, and the devnet with its processes.
	@if [ -f .devnet/devnet.json ] && [ -x $(BIN)/python ]; then $(BIN)/python -m cli.main devnet down; fi
	@rm -rf $(VENV) out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for all of it, as uv.lock says; made again when that changes.
$(READY): pyproject.toml uv.lock
	@command -v $(PYTHON) >/dev/null || { echo 'Python 3.11 or newer is missing; install it: sudo apt install python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: 3.11 or newer is needed; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; install it: sudo apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade uv
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --locked --all-extras --compile-bytecode
	@touch $@
