# Everything happens in .venv, made once from the locks; nothing else on the machine is touched
# (make test may install test peers with apt, see tests/peers.sh).
#   make demo ARGS='--frames 20000 --keep'

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	--custom-compile-command "make lock" pyproject.toml -

# Two at a time where nothing is measured or killed; one at a time where timing is the test.
TOGETHER := $(wildcard tests/unit tests/protocol tests/peer)
ALONE := $(wildcard tests/fault tests/browser)

# Tests start the gateway's processes some hundred times; none of them should compile it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint format docs bench screenshots lock clean
.DELETE_ON_ERROR:

demo: $(RUNTIME)
	$(BIN)/capsule-gateway demo $(ARGS)

test: $(DEVELOPMENT)
	bash tests/peers.sh
	@failed=0; \
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TOGETHER) $(ARGS) || failed=1; \
	$(BIN)/python -m pytest $(ALONE) $(ARGS) || failed=1; \
	exit $$failed

lint: $(DEVELOPMENT)
	@failed=0; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/ruff format --check . || failed=1; \
	$(BIN)/mypy || failed=1; \
	exit $$failed

format: $(DEVELOPMENT)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(RUNTIME)
	$(BIN)/python docs/settings_table.py --write

bench: $(DEVELOPMENT)
	bash tests/peers.sh
	$(BIN)/python -m tests.bench.ingest $(ARGS)
	$(BIN)/python -m tests.bench.wrap
	$(BIN)/python -m tests.bench.query

screenshots: $(DEVELOPMENT)
	$(BIN)/python docs/screenshots.py $(ARGS)

# setuptools builds the package itself; it is pinned like everything else.
lock:
	echo 'setuptools>=77' | $(COMPILE) -o requirements.lock
	echo 'setuptools>=77' | $(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11: name another with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "On Debian: apt-get install python3-venv" >&2; exit 1; }

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(DEVELOPMENT): requirements-dev.lock $(RUNTIME)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@
