# make demo    the main job: a real program's trace under memory pressure, with its summary and picture
# make test    the tests              make lint   style, floors and types
# make bench   the benchmarks         make clean  everything that can be made again
# make nightly the tests that take minutes: a thousand random machines, 500 kills
# make docs    the documentation site in docs/_build/html
# make coverage  docs/coverage.md: which rows of the acceptance list a test shows
#
# Needs Python 3.11 or newer and make. uv is used when it is there.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV     := $(shell command -v uv 2>/dev/null)
JOBS   ?= 2
RUN    ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)

ifdef UV
INSTALL := uv pip install --quiet --python $(BIN)/python -c constraints.txt
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
endif

.PHONY: help demo test nightly lint types bench docs coverage warm clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n 1,8p

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "numa_sim needs Python 3.11 or newer; none found on PATH. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making the virtual environment $(VENV) with $(PYTHON)"
ifdef UV
	@uv venv --quiet --python $(PYTHON) $(VENV)
else
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
endif

$(VENV)/.installed-run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing numa_sim and what it needs (versions of constraints.txt)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing numa_sim with its test and lint tools (versions of constraints.txt)"
	@$(INSTALL) -e '.[notebook,test,lint,docs]'
	@touch $@ $(VENV)/.installed-run

demo: $(VENV)/.installed-run
	@$(BIN)/numa-sim run configs/demo.toml --out $(RUN)

# Compiled code is cached per user: compile once here, so that parallel test workers do not all do it.
warm: $(VENV)/.installed-dev
	@$(BIN)/numa-sim compile

test: warm
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --benchmark-disable -q

nightly: warm
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --benchmark-disable -q -m nightly

lint: $(VENV)/.installed-dev
	@echo "ruff check";   $(BIN)/ruff check .
	@echo "ruff format";  $(BIN)/ruff format --check .
	@echo "import floors"; PYTHONPATH=. $(BIN)/lint-imports
	@$(MAKE) --no-print-directory types

types: $(VENV)/.installed-dev
	@echo "mypy --strict"; $(BIN)/mypy --strict numa_sim

bench: warm
	@$(BIN)/python -m pytest benchmarks -o 'python_files=bench_*.py' -o 'python_functions=bench_*' --benchmark-only \
		--benchmark-columns=median,iqr,rounds --benchmark-sort=name --timeout=600 -q -s

docs: $(VENV)/.installed-dev
	@$(BIN)/python -m sphinx -E -W --keep-going -n -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

coverage: $(VENV)/.installed-dev
	@$(BIN)/python tests/coverage_rows.py

clean:
	rm -rf $(VENV) build dist docs/_build docs/reference/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	find numa_sim tests -name __pycache__ -type d -prune -exec rm -rf {} +
