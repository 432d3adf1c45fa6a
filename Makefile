# Two commands to start with: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The oldest Python where there is one: old releases have no wheels for new Pythons.
LOWEST_PYTHON ?= $(if $(shell python3.11 --version 2>/dev/null),python3.11,$(PYTHON))
LOWEST_VENV ?= .venv-lowest
# Tests side by side, one process a core; each that is idle takes over from the others.
WORKERS ?= --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: demo test lowest lint types golden mutants kill-test slurm browser bench bench-page bench-gpu package leaderboard docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[bench]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed            ## every method over the embedded stream: table, results, pictures
	$(BIN)/ctta run sweep=demo

test: $(VENV)/.installed-test       ## the default tests: no network, no GPU, no data set
	$(BIN)/python -m pytest $(WORKERS)

$(LOWEST_VENV)/.installed: pyproject.toml .ci/lowest.py
	$(LOWEST_PYTHON) -m venv $(LOWEST_VENV)
	$(LOWEST_VENV)/bin/python .ci/lowest.py > $(LOWEST_VENV)/requirements.txt
	$(LOWEST_VENV)/bin/python -m pip install --requirement $(LOWEST_VENV)/requirements.txt --editable .
	touch $@

lowest: $(LOWEST_VENV)/.installed   ## the default tests with the lowest declared versions
	$(LOWEST_VENV)/bin/python -m pytest $(WORKERS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev
	$(BIN)/mypy

GOLDEN ?= ../shared/golden
golden: $(VENV)/.installed-test     ## the full golden set, where there is one
	$(BIN)/python -m pytest tests/golden --golden-dir $(GOLDEN)

mutants: $(VENV)/.installed-test    ## deliberately wrong methods, each of which must be caught
	$(BIN)/python tests/golden/mutants.py

KILLS ?= 100
kill-test: $(VENV)/.installed-test  ## kill -9 runs of every method and setting: do they go on to the same bits?
	$(BIN)/python tests/kill/kills.py --kills $(KILLS)

package: $(VENV)/.installed-dev     ## the wheel in an empty environment, and the other slow tests
	$(BIN)/python -m pytest -m slow $(WORKERS)

browser: $(VENV)/.installed-dev     ## the leaderboard's page in a headless Chromium, where there is one
	$(BIN)/python -m pytest -m browser

slurm: $(VENV)/.installed-test      ## sweeps through a real Slurm; packages: slurm-wlm slurmdbd munge mariadb-server
	$(BIN)/python -m pytest -m slurm tests/launchers

BENCH ?= build/bench
bench: $(VENV)/.installed-bench     ## timings, as ratios measured side by side, and peak memory; JSON to build/bench
	for name in corruptions decoding kernels steps cotta compute augmentation memory checkpoint store; do \
	  $(BIN)/python benchmarks/$$name.py --json $(BENCH) || exit 1; done

bench-page: $(VENV)/.installed-dev  ## the leaderboard's page with 200 and 2,000 rows; needs a Chromium
	for rows in 200 2000; do \
	  $(BIN)/python benchmarks/leaderboard_page.py --rows $$rows --json $(BENCH)/page-$$rows || exit 1; done

# The CuPy for the CUDA that torch was built with: cuda12 or cuda13.
CUDA ?= cuda13
$(VENV)/.installed-$(CUDA): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[test,$(CUDA)]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

bench-gpu: $(VENV)/.installed-$(CUDA)  ## kernels and runs on a CUDA device
	$(BIN)/python benchmarks/kernels_gpu.py --json $(BENCH)
	$(BIN)/python benchmarks/compute.py --json $(BENCH)

leaderboard: $(VENV)/.installed     ## the shipped entries checked, tables and page made from them
	$(BIN)/ctta leaderboard build --tables leaderboard/README.md

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[docs]'
	touch $@ $(VENV)/.installed

docs: $(VENV)/.installed-docs       ## the documentation site, to build/docs; a warning is an error
	$(BIN)/mkdocs build
	$(BIN)/python .ci/loads_nothing.py build/docs

clean:
	rm -rf $(VENV) $(LOWEST_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
