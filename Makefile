# `make test` and `make demo` set everything up by themselves on a fresh checkout.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A stamp beside the environment: installation is repeated only when pyproject.toml changed.
INSTALLED := $(VENV)/.installed

.PHONY: install test slow demo lint clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=23.1"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -c "import timm, torch, transformers"
	touch $(INSTALLED)

# A process a core, four at most; the tests of a file share what they prepare.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# The main job: data, a zero-shot evaluation that fuses every image with every caption, a table of the
# paper, and an ablation.
demo: $(INSTALLED)
	$(BIN)/unimo2 data make-mini
	$(BIN)/unimo2 eval flickr --zero-shot
	$(BIN)/unimo2 report --table 1
	$(BIN)/unimo2 ablate --k 10 20 50 100

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
