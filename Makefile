# Bare `make` lists the targets. Only Python 3.11 or newer and make are needed; PYTHON=... names another interpreter.

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/python -m uv
# With hashes, and all extras. A mirror that builds its files anew has other hashes: LOCK=requirements.txt.
LOCK := requirements.lock
locked = $(patsubst requirements%,requirements$(1)%,$(LOCK))
HASHES := $(if $(filter %.lock,$(LOCK)),--require-hashes)
COMPILE := pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links

# Without compiled files every Airflow process starts 2.6 times slower.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test check drill schema stop lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Make the environment in .venv; does nothing while the requirements are the same

run: install  ## Start everything with the demo shop: PostgreSQL, Airflow, the Retention page
	$(BIN)/retention up --demo

test: check  ## Run `make check`, then all tests, on real PostgreSQL and real Airflow; ARGS=... go to pytest
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed-dev $(VENV)/.linted-sql  ## Check format, lint, types, imports between rooms, and SQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Half a minute: only where something has changed since it was clean. A folder changes when a file is added or removed.
$(VENV)/.linted-sql: $(shell find include/sql tests/sql_names -not -name '*.pyc' -not -name __pycache__) pyproject.toml | $(VENV)/.installed-dev
	$(BIN)/sqlfluff lint --processes 2 include/sql
	@touch $@

drill: $(VENV)/.installed-dev  ## Delivery under random faults and kills: N schedules (2000) from SEED (1) on
	PYTHONPATH=tests:tests/delivery $(BIN)/python tests/delivery/drill.py --schedules $(or $(N),2000) --seed $(or $(SEED),1)

schema: $(VENV)/.installed-dev  ## Write include/sql/schema.sql and the schemas of campaigns and offers anew, after a change of what they are made from
	PYTHONPATH=tests $(BIN)/python -m schema_snapshot

stop:  ## Stop what `make run` started; the data stay in .local
	@if [ -x $(BIN)/retention ]; then $(BIN)/retention down; fi

lock: $(VENV)/.installed  ## Write requirements*.txt and, with hashes, *.lock from *.in; UPGRADE=--upgrade takes newer versions
	$(UV) $(COMPILE) $(UPGRADE) --all-extras pyproject.toml -o requirements.txt
	$(UV) $(COMPILE) $(UPGRADE) requirements-dev.in -o requirements-dev.txt
	$(UV) $(COMPILE) $(UPGRADE) requirements-install.in -o requirements-install.txt
	for name in requirements requirements-dev requirements-install; do \
		$(UV) $(COMPILE) --no-annotate --generate-hashes --no-deps $$name.txt -o $$name.lock || exit 1; done

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

# uv installs in a third of pip's time. Where it cannot be had or finds no index, pip does the same. A lock is complete:
# nothing else is asked for.
install = $(UV) pip install --python $(BIN)/python --compile-bytecode --no-deps $(HASHES) -r $(1) \
	|| $(BIN)/python -m pip install --no-deps $(HASHES) -r $(1) \
	|| { echo "Other hashes, since your mirror builds its files anew? make install LOCK=requirements.txt" >&2; exit 1; }

$(VENV)/.installed: $(LOCK) requirements.in pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps $(HASHES) -r $(call locked,-install) || true
	$(call install,$(LOCK))
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation -e . \
		|| $(BIN)/python -m pip install --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(call locked,-dev) $(VENV)/.installed
	$(call install,$(call locked,-dev))
	@touch $@
