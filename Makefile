# Every verb works on a machine that has only Python >= 3.11, pip and make.
PYTHON ?= python3
VENV   ?= .venv
PEERS  ?= .venv-bench
# The newest nautilus_trader wants a newer Python than QTS does; where one is found `make bench` runs its replay there.
NEWER  ?= $(shell for p in python3.12 $(HOME)/.pyenv/versions/3.12.*/bin/python python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
# The tools that docs/guides/coming-from.md compares QTS with, each in the version that its tables name.
TOOLS  := freqtrade nautilus vectorbt vnpy zipline
freqtrade := freqtrade==2026.9
nautilus := nautilus_trader==1.221.0;python_version<'3.12' nautilus_trader==1.231.0;python_version>='3.12'
vectorbt := vectorbt==1.2.0
vnpy := vnpy==4.5.0 vnpy_ctastrategy==1.4.1
zipline := zipline-reloaded==3.2.1
BIN    := $(VENV)/bin
SEEDS  ?= 0:2000
EXTRAS ?= report,parquet,metrics,postgres,redis,sheets,kis,optimize,fast,test,lint

.PHONY: help demo test lint cover peers bench bench-newer soak simulate mutants docs clean

help: ## show the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## trade five real years on the built-in sample data and write the report
	$(BIN)/qts demo --report qts-demo.html

test: $(VENV)/.dev ## run the whole test suite
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev ## style, types, layers, import cycles, docstrings
	$(BIN)/ruff check src tests bench examples lint
	$(BIN)/ruff format --check src tests bench examples lint
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python lint/import_cycles.py
	$(BIN)/python lint/docstrings.py src  # tests document themselves by their names

cover: $(VENV)/.dev ## tests with branch coverage
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

# The peers pin many packages, so they get an environment of their own. Where they cannot be installed QTS is measured
# alone, in the other one.
$(PEERS)/.peers: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench,fast]'
	@touch $@

bench: $(VENV)/.dev ## measure speed as ratios in one run, beside the peers
	@if $(MAKE) --no-print-directory $(PEERS)/.peers; then exec $(PEERS)/bin/python -m bench; \
	else echo "the peers (extra bench) cannot be installed here, see above: QTS is measured alone" >&2; \
	exec $(BIN)/python -m bench; fi
	@$(MAKE) --no-print-directory bench-newer

# They pin much, and against each other, so each has an environment of its own. Where one cannot be installed its test is
# skipped, saying so.
.venv-peers/%/.done: Makefile
	$(PYTHON) -m venv .venv-peers/$*
	.venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check $(foreach one,$($*),"$(one)")
	@touch $@

peers: $(VENV)/.dev ## run the programs of "Coming from another backtester" in those tools (minutes to install)
	@$(MAKE) --no-print-directory --keep-going $(TOOLS:%=.venv-peers/%/.done) || echo "left out: see above" >&2
	QTS_PEERS=1 $(BIN)/python -m pytest -n 0 tests/examples/test_peers.py

bench-newer:
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then :; \
	elif [ -z "$(NEWER)" ]; then \
	echo "the newest nautilus_trader: left out, it needs Python 3.12; NEWER=PATH names one" >&2; \
	elif $(MAKE) --no-print-directory PYTHON=$(NEWER) PEERS=$(PEERS)-newer $(PEERS)-newer/.peers; then \
	exec $(PEERS)-newer/bin/python -m bench replay --out bench/out/newer; \
	else echo "the newest nautilus_trader: left out, it cannot be installed for $(NEWER), see above" >&2; fi

mutants: $(VENV)/.dev ## change one place of the code of money and safety at a time, and name what no test sees (hours)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutants]"
	nice -n 19 $(BIN)/python -m tests.mutation

simulate: $(VENV)/.dev ## play simulated sessions in which everything goes wrong; SEEDS=FIRST:LAST chooses them
	$(BIN)/python -m tests.simulation run $(SEEDS) --jobs 2

soak: $(VENV)/.dev ## the long trials: sessions killed hundreds of times, also beside slow disks, and many more examples
	QTS_EVERY_KILL=1 QTS_EVERY_CALL=1 $(BIN)/python -m pytest -n auto $$(grep -rl --include=test_*.py 'from tests.effort import' tests)
	$(BIN)/python -m bench.soak

docs: $(VENV)/.dev ## regenerate the reference pages from the code
	$(BIN)/qts docs
	$(BIN)/python -m tests.faults

clean: ## remove what the other verbs made
	rm -rf $(VENV) $(PEERS) $(PEERS)-newer .venv-peers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* \
	  bench/out build dist qts-demo.html qts-data/demo-*
