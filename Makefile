# `make demo` and `make test` need python3 with its venv module, and nothing else: they make their own environment.
# PIP_FLAGS goes to pip; where PyTorch's default build is too large, point it at an index with the CPU build.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-all lint clean

demo: $(READY)
	$(BIN)/fetalpose demo

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .

clean:
	rm -rf build .pytest_cache .ruff_cache
	find FetalPoseLib Testing -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[dev]"
	touch $@
