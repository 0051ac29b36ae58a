# Needs git, GNU make and any python3 with pip and venv. It ignores an installed uv, because
# pyenv can hide that. It installs a pinned uv into .tools.

.DEFAULT_GOAL := help
.PHONY: help new draw test test-all lint bench audit clean

# Where pyenv lacks the Python that a .python-version names, its python3 fails in this folder.
python := $(if $(shell python3 -c 'print(1)' 2>/dev/null),python3,PYENV_VERSION=system python3)
uv_version := $(shell sed -n 's/^ *"uv==\([0-9.]*\)",$$/\1/p' pyproject.toml)
uv := .tools/uv-$(uv_version)/bin/uv

# Pyenv hides every Python that is not chosen there, also from uv, which would then download one.
versions := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
hidden := $(lastword $(sort $(foreach patch,[0-9] [0-9][0-9],$(wildcard $(versions)/3.1[2-9].$(patch)/bin/python))))
ifneq ($(hidden),)
UV_PYTHON ?= $(hidden)
export UV_PYTHON
endif

# These variables count only on make's command line, because many machines set NAME. Their text
# is used as typed: otherwise make would read a dollar as the beginning of a variable.
$(foreach variable,NAME MODULES OUTPUT,\
	$(if $(filter command,$(origin $(variable))),\
		$(eval override $(variable) := $$(value $(variable)))$(eval export $(variable)),\
		$(eval unexport $(variable))))
unexport VIRTUAL_ENV
# Some company networks have private certificates, which only the system's store knows.
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS

help:
	@echo 'make new                              ask the questions, generate a project in projects/'
	@echo 'make new MODULES="profiles audit"     generate one with these modules, ask nothing'
	@echo '         NAME="My Project" OUTPUT=projects   its name and the folder it goes into'
	@echo 'make draw                             write what is made of the registry: pictures, tables, pages'
	@echo 'make test PYTEST_ARGS="-k readme"     run the tests of the template that need no server'
	@echo 'make test-all                         run those and then all others, as CI does'
	@echo 'make lint                             run the linters over the template'
	@echo 'make bench                            compare the time of a bake with the least possible'
	@echo 'make bench BENCH=dispatch             compare sending a signal with plain Django'
	@echo 'make audit                            look the pinned packages up among known vulnerabilities'

new: $(uv) clean
	@$(uv) run --quiet --only-group bake scripts/new.py

draw: $(uv) clean
	@$(uv) run --quiet --only-group bake scripts/draw_prompt_session.py
	@$(uv) run --quiet --only-group bake scripts/draw_signal_map.py
	@$(uv) run --quiet --only-group bake scripts/draw_pages.py
	@$(uv) run --quiet --only-group bake scripts/what_you_own.py --write
	@$(uv) run --quiet --only-group bake scripts/write_documents.py

pytest = PYTHONDONTWRITEBYTECODE=1 UV_COMPILE_BYTECODE=1 $(uv) run --quiet pytest -n auto --dist worksteal

test: $(uv) clean
	@$(pytest) -m 'not whole' $(PYTEST_ARGS)

test-all: test
	@$(pytest) -m whole $(PYTEST_ARGS)

lint: $(uv) clean
	@$(uv) run --quiet pre-commit run --all-files --show-diff-on-failure

bench: $(uv) clean
	@UV_COMPILE_BYTECODE=1 $(uv) run --quiet benchmarks/$(if $(filter command,$(origin BENCH)),$(BENCH),bake).py $(BENCH_ARGS)

audit: $(uv) clean
	@$(uv) run --quiet --only-group bake --only-group audit scripts/audit.py

# Caches inside the template would be baked into every project.
clean:
	@find '{{cookiecutter.project_slug}}' \( -name __pycache__ -o -name '.*_cache' \) -prune -exec rm -rf {} +

$(uv):
	@echo 'Installing uv $(uv_version) into .tools'
	@$(python) -m venv .tools/uv-$(uv_version)
	@.tools/uv-$(uv_version)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(uv_version)
