# Constraints are given by environment so that they hold for building foldover itself, too (the second name: pip 25.3+).
# Everything runs in .venv; a target that finds it up to date installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

BASE := .venv-base
BENCH := .venv-bench
# litgpt refuses the huggingface_hub that constraints.txt pins.
BENCH_HUB := huggingface_hub==1.3.7

.PHONY: help demo test test-base check docs bench bench-gpu race pairing replicate replicate-cpu bench-export fuzz calibrate format clean

help:
	@echo "make demo       train the demonstration study and write demo/report.html"
	@echo "make test       the test suite"
	@echo "make test-base  designs, statistics and commands where nothing but the base package is installed"
	@echo "make check      lint, format, types, layers, docs"
	@echo "make docs       rewrite the pages that are made from the program"
	@echo "make bench      benchmarks, each beside a peer, in an environment of their own"
	@echo "make bench-gpu  training on a GPU, with and without torch.compile"
	@echo "make race       strategies at equal cost on the simulator, 500 times"
	@echo "make pairing    what common seeds save, on real runs of micro"
	@echo "make replicate  the published program of 613 runs on the simulator, 200 times, and its page"
	@echo "make replicate-cpu  the same program with real training at CPU size (three quarters of an hour on two cores), and its page"
	@echo "make bench-export  the artifact's bytes, losses and speed beside the public ways to store a model"
	@echo "make fuzz       hostile artifacts for FUZZ_SECONDS seconds"
	@echo "make calibrate  coverage and error rates of the statistics, by simulation"
	@echo "make format     rewrite the sources in the project's format"

demo: $(STAMP)
	$(BIN)/foldover run studies/demo.toml --dir demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

test-base: $(BASE)/.installed
	$(BASE)/bin/python -m pytest -n 2 tests/base tests/designs tests/stats

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/docs

docs: $(STAMP)
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_paper_consistency.py

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks

bench-gpu: $(STAMP)
	$(BIN)/python -m benchmarks.gpu

race: $(STAMP)
	$(BIN)/foldover race --repetitions 500 --jobs 2

pairing: $(STAMP)
	$(BIN)/python -m benchmarks.pairing

replicate: $(STAMP)
	$(BIN)/python -m benchmarks.replicate --write

replicate-cpu: $(STAMP)
	$(BIN)/python -m benchmarks.replicate_cpu

bench-export: $(STAMP)
	$(BIN)/python -m benchmarks.export_table

FUZZ_SECONDS ?= 60
fuzz: $(STAMP)
	$(BIN)/python tests/export/test_export_fuzz.py --seconds $(FUZZ_SECONDS)

calibrate: $(STAMP)
	$(BIN)/python benchmarks/calibrate.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(BASE) $(BENCH) demo

$(STAMP): pyproject.toml constraints.txt
	$(call install,$(VENV),.[dev],constraints.txt)
	@touch $@

$(BASE)/.installed: pyproject.toml constraints.txt
	$(call install,$(BASE),.[test],constraints.txt)
	@touch $@

$(BENCH)/.installed: pyproject.toml constraints.txt
	@mkdir -p $(BENCH)
	@sed 's/^huggingface_hub==.*/$(BENCH_HUB)/' constraints.txt > $(BENCH)/constraints.txt
	$(call install,$(BENCH),.[bench],$(BENCH)/constraints.txt)
	@touch $@

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "foldover needs Python 3.11 or newer as '$(PYTHON)' (found: $$($(PYTHON) --version 2>&1 | head -1 || true)); set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(1) || { echo "'$(PYTHON) -m venv' failed: install its venv module (Debian: python3-venv)"; exit 2; }
	PIP_CONSTRAINT=$(3) PIP_BUILD_CONSTRAINT=$(3) \
	  $(1)/bin/python -m pip install --quiet --disable-pip-version-check -e "$(2)"
endef
