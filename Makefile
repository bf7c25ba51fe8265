# `make lab` opens the course, `make test` checks all of it, `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
# Options for JupyterLab, e.g. make lab ARGS="--no-browser" PORT=9000
PORT   ?= 8888
ARGS   ?=
# The notebooks that `make notebooks` runs, e.g. make notebooks NAMES="01 02_1"; if empty, all of them
NAMES  ?=
JOBS   ?= 2
# In CI, pip's long list of packages would hide the important lines.
PIP    := -m pip --disable-pip-version-check install $(if $(CI),-qq)

BIN    := $(VENV)/bin
RUN    := $(BIN)/python
PYTEST := $(RUN) -m pytest -p no:cacheprovider -q -n $(JOBS) --dist loadscope
NBVAL  := -p tests.notebooks.nbval_plugin --nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with=tests/notebooks/sanitize.cfg

# A stamp says that an installation is finished. If the folder is moved or renamed, the environment no longer
# works, so the folder's name is stored beside the stamps.
LAB_STAMP  := $(VENV)/.course-installed
TEST_STAMP := $(VENV)/.course-installed-test
ifneq ($(shell cat '$(VENV)/.course-folder' 2>/dev/null),$(CURDIR))
MOVED := moved
endif

.DEFAULT_GOAL := help
.PHONY: help lab test lint unit browser nbval bench notebooks clean moved install install-test

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /make \1\t/p' Makefile | expand -t 20

lab: $(LAB_STAMP) ## install if needed, then open the course in JupyterLab (PORT=..., ARGS=...)
	@$(RUN) -m jupyterlab --config=jupyter_lab_config.py --port=$(PORT) $(ARGS)

test: $(TEST_STAMP) ## install if needed, then check everything: style, unit tests, browser, notebooks
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory nbval

# There are two workers on two cores: a second thread in each would only wait.
unit nbval: export OMP_NUM_THREADS := 1

lint: $(TEST_STAMP) ## style and plain English only
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m tests.plain_english

unit: $(TEST_STAMP) ## unit tests only
	$(PYTEST) -p no:nbval -m "not browser and not benchmark" tests

browser: $(TEST_STAMP) ## tests in a real JupyterLab only
	$(PYTEST) -p no:nbval -m browser tests/browser

nbval: $(TEST_STAMP) ## notebooks only: run each, compare with its committed outputs
	env -u COURSE_DATA_DIR $(PYTEST) $(NBVAL) notebooks

bench: $(TEST_STAMP) ## benchmarks (minutes; needs a quiet machine)
	@status=0; for b in tests/benchmarks/bench_*.py; do \
	    $(RUN) -m "tests.benchmarks.$$(basename "$$b" .py)" || status=1; done; exit $$status

notebooks: $(TEST_STAMP) ## run notebooks and write their outputs (NAMES="01 02_1")
	$(RUN) -m tests.notebooks.refresh $(NAMES)

clean: ## remove the environment and all generated files
	rm -rf '$(VENV)' build ./*.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

install: $(LAB_STAMP)
install-test: $(TEST_STAMP)

moved:

$(LAB_STAMP): pyproject.toml $(MOVED)
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(None if ok else \
	    "The course needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is Python %d.%d: name another one, for example" \
	    " make $(MAKECMDGOALS) PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing the course into $(VENV): a few minutes, about 5 GB, only this once."
	@[ -z '$(MOVED)' ] && $(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear '$(VENV)'
	@printf %s '$(CURDIR)' > '$(VENV)/.course-folder'
	@$(RUN) $(PIP) --editable .
	@touch $@

$(TEST_STAMP): $(LAB_STAMP)
	@$(RUN) $(PIP) --editable '.[test]'
	@touch $@
