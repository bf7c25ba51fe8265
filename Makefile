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

# Names of folders and files may have spaces, quotes and other signs in them, so they are quoted for the shell, and
# are never the name of a target.
quote   = '$(subst ','\'',$(1))'

RUN    := $(call quote,$(VENV)/bin/python)
PYTEST := $(RUN) -m pytest -p no:cacheprovider -q -n $(call quote,$(JOBS)) --dist loadscope
NBVAL  := -p tests.notebooks.nbval_plugin --nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with=tests/notebooks/sanitize.cfg

# A stamp says that an installation is finished. If the folder is moved or renamed, the environment no longer
# works, so the folder's name is stored beside the stamps.
LAB_STAMP  := $(call quote,$(VENV)/.course-installed)
TEST_STAMP := $(call quote,$(VENV)/.course-installed-test)
FOLDER     := $(call quote,$(VENV)/.course-folder)
HERE       := $(shell [ "$$(cat $(FOLDER) 2>/dev/null)" = $(call quote,$(CURDIR)) ] && echo yes)
# `yes` if the stamp is there and not older than pyproject.toml
done        = $(and $(HERE),$(shell [ -e $(1) ] && [ ! pyproject.toml -nt $(1) ] && echo yes))

.DEFAULT_GOAL := help
.PHONY: help lab test lint unit browser nbval bench notebooks clean install install-test new-lab new-test

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /make \1\t/p' Makefile | expand -t 20

lab: install ## install if needed, then open the course in JupyterLab (PORT=..., ARGS=...)
	@$(RUN) -m jupyterlab --config=jupyter_lab_config.py --port=$(call quote,$(PORT)) $(ARGS)

test: install-test ## install if needed, then check everything: style, unit tests, browser, notebooks
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory nbval

# There are two workers on two cores: a second thread in each would only wait.
unit nbval: export OMP_NUM_THREADS := 1

lint: install-test ## style and plain English only
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m tests.plain_english

unit: install-test ## unit tests only
	$(PYTEST) -p no:nbval -m "not browser and not benchmark" tests

browser: install-test ## tests in a real JupyterLab only
	$(PYTEST) -p no:nbval -m browser tests/browser

nbval: install-test ## notebooks only: run each, compare with its committed outputs
	env -u COURSE_DATA_DIR $(PYTEST) $(NBVAL) notebooks

bench: install-test ## benchmarks (minutes; needs a quiet machine)
	@status=0; for b in tests/benchmarks/bench_*.py; do \
	    $(RUN) -m "tests.benchmarks.$$(basename "$$b" .py)" || status=1; done; exit $$status

notebooks: install-test ## run notebooks and write their outputs (NAMES="01 02_1")
	$(RUN) -m tests.notebooks.refresh $(foreach name,$(NAMES),$(call quote,$(name)))

clean: ## remove the environment and all generated files
	rm -rf $(call quote,$(VENV)) build ./*.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

install: $(if $(call done,$(LAB_STAMP)),,new-lab)
install-test: install $(if $(call done,$(TEST_STAMP)),,new-test)

new-lab:
	@$(call quote,$(PYTHON)) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(None if ok else \
	    "The course needs Python 3.11, 3.12 or 3.13, but {1} is Python {0[0]}.{0[1]}: name another one, for example" \
	    " make {2} PYTHON=python3.12".format(sys.version_info, *sys.argv[1:]))' \
	    $(call quote,$(PYTHON)) $(call quote,$(MAKECMDGOALS))
	@printf 'Installing the course into %s: a few minutes, about 5 GB, only this once.\n' $(call quote,$(VENV))
	@[ -n '$(HERE)' ] && $(RUN) -m pip --version >/dev/null 2>&1 || \
	    $(call quote,$(PYTHON)) -m venv --clear $(call quote,$(VENV))
	@printf %s $(call quote,$(CURDIR)) > $(FOLDER)
	@$(RUN) $(PIP) --editable .
	@touch $(LAB_STAMP)

new-test: install
	@$(RUN) $(PIP) --editable '.[test]'
	@touch $(TEST_STAMP)
