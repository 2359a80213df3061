# `make demo` and `make test` need python3 with its venv module, and nothing else: they make their own environment.
# PIP_FLAGS goes to pip; where PyTorch's default build is too large, point it at an index with the CPU build.
# TEST_FLAGS goes to pytest: `make test TEST_FLAGS="-p no:randomly -k grid"`. JOBS is the number of test processes.
# FUZZ_FLAGS goes to the fuzzers: `make fuzz FUZZ_FLAGS="--seed 2"`. They need Linux.
PYTHON ?= python3
PIP_FLAGS ?=
TEST_FLAGS ?=
FUZZ_FLAGS ?=
JOBS ?= 2
BIN := .venv/bin
READY := .venv/ready
# One process takes all tests of a file, so that what they share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

WEB := .venv-web/bin
WEB_READY := .venv-web/ready
WEB_FLAGS ?=

.PHONY: demo test test-all test-web test-web-all web coverage fuzz lint format docs clean

demo: $(READY)
	$(BIN)/fetalpose demo

test: lint
	$(PYTEST) -m "not slow" $(TEST_FLAGS)

test-all: lint
	$(PYTEST) $(TEST_FLAGS)

# The page in a browser. It has an environment of its own, because trame-slicer pins slicer-core and vtk.
# WEB_FLAGS goes to `fetalpose web`: `make web WEB_FLAGS="volume.nrrd --port 8080"`.
web: $(WEB_READY)
	$(WEB)/fetalpose web $(WEB_FLAGS)

# Needs Debian's chromium, or CHROMIUM=/path/to/it.
test-web: $(WEB_READY)
	OMP_NUM_THREADS=1 $(WEB)/python -m pytest --numprocesses $(JOBS) --dist loadfile -m "not slow" $(TEST_FLAGS) Testing/web

test-web-all: $(WEB_READY)
	OMP_NUM_THREADS=1 $(WEB)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(TEST_FLAGS) Testing/web

coverage: $(READY)
	$(PYTEST) -m "not slow" --cov --cov-report term $(TEST_FLAGS)

fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m Testing.fuzz $(FUZZ_FLAGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[docs]"
	$(BIN)/mkdocs build --strict --site-dir build/docs

clean:
	rm -rf build .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find FetalPoseLib Testing -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[dev]"
	touch $@

$(WEB_READY): pyproject.toml constraints-web.txt
	$(PYTHON) -m venv .venv-web
	$(WEB)/python -m pip install $(PIP_FLAGS) --constraint constraints-web.txt --editable ".[web,web-test]"
	touch $@
