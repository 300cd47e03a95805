# Every target sets up its own .venv; nothing but Python >= 3.11 with pip and venv is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := $(VENV)/.demo-installed
# Without byte code, which Python makes where it is used: half of the time of an installation.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
ARGS   ?=

.PHONY: help demo test quick lint bench clean
help:            ## this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) found; say which with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(DEMO): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[demo]'
	@touch $@

$(STAMP): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(DEMO)

demo: $(DEMO)    ## a real three-node cluster that fails over in front of you; options: ARGS="--detach --dir D"
	@$(BIN)/trunkline demo $(ARGS)

test: $(STAMP)   ## every test, those on a real cluster included; options: ARGS="-k name"
	$(BIN)/pytest $(ARGS)

quick: $(STAMP)  ## the tests that need no cluster and not many processes, in half a minute
	$(BIN)/pytest -n auto -m 'not lab and not slow' $(ARGS)

lint: $(STAMP)   ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src tests benchmarks
	$(BIN)/lint-imports

bench: $(STAMP)  ## what it is worth and what it costs, beside what others do, in 70 minutes; less: ARGS="--rounds 2", ARGS="fleet"
	$(BIN)/python -m benchmarks $(ARGS)

clean:           ## all that the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist bench-results
