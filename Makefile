# Bare `make` lists the targets. Only Python 3.11 or newer and make are needed; PYTHON=... names another interpreter.

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/python -m uv

# Without compiled files every Airflow process starts 2.6 times slower.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test check drill stop lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Make the environment in .venv; does nothing while the requirements are the same

run: install  ## Start everything with the demo shop: PostgreSQL, Airflow, the Retention page
	$(BIN)/retention up --demo

test: check  ## Run `make check`, then all tests, on real PostgreSQL and real Airflow; ARGS=... go to pytest
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed-dev  ## Check format, lint, types, imports between rooms, and SQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 2 include/sql

drill: $(VENV)/.installed-dev  ## Delivery under random faults and kills: N schedules (2000) from SEED (1) on
	PYTHONPATH=tests:tests/delivery $(BIN)/python tests/delivery/drill.py --schedules $(or $(N),2000) --seed $(or $(SEED),1)

stop:  ## Stop what `make run` started; the data stay in .local
	@if [ -x $(BIN)/retention ]; then $(BIN)/retention down; fi

lock: $(VENV)/.installed  ## Write requirements*.txt from requirements*.in; UPGRADE=--upgrade takes newer versions
	$(UV) pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links \
		$(UPGRADE) requirements.in -o requirements.txt
	$(UV) pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links \
		$(UPGRADE) requirements-dev.in -o requirements-dev.txt

clean: stop  ## Stop, and remove the environment and caches; .local (database, outbox, logs) stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis include/*.egg-info
	find . -name __pycache__ -type d -not -path './.local/*' -prune -exec rm -rf {} +

# The first of these that is new enough. Asked for only when there is no environment yet.
find_python = for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$python"; break; fi; done

$(BIN)/python:
	@python=$$($(find_python)); \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	echo "$$python -m venv $(VENV)"; "$$python" -m venv $(VENV)

# uv installs in a third of pip's time. Where it cannot be had or finds no index, pip does the same.
$(VENV)/.installed: requirements.txt requirements.in pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv || true
	$(UV) pip install --python $(BIN)/python --compile-bytecode -r requirements.txt \
		|| $(BIN)/python -m pip install -r requirements.txt
	$(UV) pip install --python $(BIN)/python --no-deps -e . || $(BIN)/python -m pip install --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(UV) pip install --python $(BIN)/python --compile-bytecode -r requirements-dev.txt \
		|| $(BIN)/python -m pip install -r requirements-dev.txt
	@touch $@
