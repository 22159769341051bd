# make demo: train and look at a report.   make test, make check: prove the tree.   make bench: measure it.   make docs: a site of its pages.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: demo test check bench docs setup clean help
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Where real speech lies, if there is any; tests and benchmarks that need it skip without.
PHONAUT_DATA ?= $(if $(wildcard ../shared/data),../shared/data,datasets)
export PHONAUT_DATA := $(abspath $(PHONAUT_DATA))
# align where pocketsphinx need not be built: it comes ready for 3.11.
EXTRAS := synthetic,sweeps,units,world,test,dev$(shell "$(PYTHON)" -c 'import sys; print(",align" * (sys.version_info[:2] == (3, 11)))' 2>/dev/null)

help:
	@grep -E '^(# make|[a-z]+:.*##)' Makefile | sed -e 's/^# //' -e 's/:.*##/:/'

.venv/.installed: pyproject.toml constraints.txt tools/install.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; found: $$("$(PYTHON)" --version). make PYTHON=/path/to/python3.11"; exit 1; }
	test -x "$(BIN)/python" || "$(PYTHON)" -m venv .venv
	echo "Installing Phonaut into .venv with the extras $(EXTRAS)."
	echo "  synthetic is espeak-ng's speech for the embedded corpus: GPL-3, optional; align is pocketsphinx, which knows English; sweeps is optuna and nevergrad; units is SentencePiece; world is the WORLD vocoder; test and dev are for make test and make check."
	"$(BIN)/python" tools/install.py "$(EXTRAS)"
	touch .venv/.installed

setup: .venv/.installed ## install into .venv

demo: .venv/.installed ## train ten words of synthetic speech, evaluate, write the report (5 minutes)
	@"$(BIN)/phonaut" train experiment_id=demo overwrite=true trainer.max_epochs=20
	echo "shell        for \`phonaut\` alone, in any folder: source '$(CURDIR)/$(BIN)/activate'"

test: .venv/.installed ## all tests but those of make check (8 minutes)
	@"$(BIN)/python" -m pytest -q -n 2 --dist worksteal -m "slow or not readme"

check: .venv/.installed ## format, lint, types, layers, doctests, documents
	@"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports" --no-cache
	"$(BIN)/python" -m pytest -q --doctest-modules -p no:cacheprovider -m "not slow" src tests/test_readme.py

docs: .venv/.installed ## the site of docs/ and of the docstrings, in build/site
	@"$(BIN)/mkdocs" build --quiet
	echo "build/site/index.html"

bench: .venv/.installed ## measure against named peers, into benchmarks/results
	@for script in features training startup memory densities genhmm representation; do
	  echo "== $$script"; "$(BIN)/python" "benchmarks/$$script.py" --output "benchmarks/results/$$script.json"
	done

clean: ## remove .venv and what tools left behind
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
