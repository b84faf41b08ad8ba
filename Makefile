# make demo   install the wheel and rank the bundled teachers for the bundled student
# make test   install the wheel and run the tests against it
# make lint   ruff and mypy
# make clean  remove what these made
#
# A second run installs nothing unless a source file changed, and then needs no network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST_ARGS ?=

# Stamps carry checksums, not times: a deleted or checked-out file counts as a change.
CHECKSUM = cksum | cut -d ' ' -f 1
DEPS := $(shell cat pyproject.toml constraints.txt | $(CHECKSUM))
SOURCES := $(shell find lnat_plugins hooks tasks pyproject.toml README.md LICENSE -type f \
	! -name '*.py[co]' | LC_ALL=C sort | tr '\n' '\0' | xargs -0 cksum | $(CHECKSUM))
READY_VENV := $(VENV)/.torch-$(DEPS)
READY_WHEEL := $(VENV)/.wheel-$(DEPS)-$(SOURCES)
READY_TEST := $(VENV)/.test-$(DEPS)

# Nothing here may reach for a model or a data set, and no checkout may stand in for the wheel.
export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1
export TRANSFORMERS_OFFLINE := 1
unexport PYTHONPATH

.PHONY: demo test lint clean

demo: $(READY_WHEEL)
	PATH="$(CURDIR)/$(BIN):$$PATH" && \
	student="$$(lnat student)" && \
	lm_eval --model hf --model_args pretrained="$$student",dtype=float32 \
		--tasks local_naturalness --log_samples --output_path out && \
	lnat rank out

test: $(READY_WHEEL) $(READY_TEST)
	LNAT_TEST_INSTALLED=1 $(BIN)/pytest --junitxml=junit.xml $(PYTEST_ARGS)

lint: $(READY_WHEEL) $(READY_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch comes first and alone, so that nothing else can choose another build of it.
# setuptools comes with it: the wheel is built here, not in a fresh environment.
$(READY_VENV):
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.torch-*
	$(PIP) install --constraint constraints.txt torch==2.13.0 setuptools
	touch $@

# An old build/ would put deleted files into the wheel.
$(READY_WHEEL): $(READY_VENV)
	rm -rf build dist lnat_plugins.egg-info $(VENV)/.wheel-*
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build lnat_plugins.egg-info
	$(PIP) install --no-deps --force-reinstall dist/*.whl
	$(PIP) install --constraint constraints.txt lnat-plugins
	touch $@

$(READY_TEST): $(READY_WHEEL)
	rm -f $(VENV)/.test-*
	$(PIP) install --constraint constraints.txt "lnat-plugins[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist lnat_plugins.egg-info out junit.xml \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
