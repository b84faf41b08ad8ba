# make demo   install the wheel and rank the bundled teachers for the bundled student
# make test   install the wheel and run the tests against it
# make lint   ruff and mypy
# make docs   the site in docs/ as HTML: out/docs/index.html; needs Python 3.11
# make matrix the core of the tests on the oldest and the newest versions, Python 3.10 and 3.13
# make fuzz   random input for everything that is read: FUZZ=20000 inputs, SEED=1234; GUIDED=1 lets
#             atheris choose by coverage, and installs it into .venv
# make study  the shipped study in its short form: two teachers, one seed, a minute
# make study_full  all of it: hours (docs/study.md)
# make torture  kill commands at random moments and run them again: TARGET=study SEED=0 COUNT=20
# make mutants  change the code in small ways and see whether a test fails: SEED=0 COUNT=20
# make trainers  read written training sets back with other trainers' loaders: NAMES="verl axolotl"
# make vllm  score the same traces with transformers and with vLLM on the CPU, and compare every sum
# make clean  remove what these made
#
# A second run installs nothing unless a source file changed, and then needs no network.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# A file's tests run in one process, so that what they share is made once.
PROCESSES ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=

TORCH := $(shell sed -n 's/^torch==//p' $(CONSTRAINTS))

# Stamps carry checksums, not times: a deleted or checked-out file counts as a change.
CHECKSUM = cksum | cut -d ' ' -f 1
DEPS := $(shell cat pyproject.toml $(CONSTRAINTS) | $(CHECKSUM))
SOURCES := $(shell find lnat_plugins hooks tasks pyproject.toml README.md LICENSE -type f \
	! -name '*.py[co]' | LC_ALL=C sort | tr '\n' '\0' | xargs -0 cksum | $(CHECKSUM))
READY_VENV := $(VENV)/.torch-$(DEPS)
READY_WHEEL := $(VENV)/.wheel-$(DEPS)-$(SOURCES)
READY_TEST := $(VENV)/.test-$(DEPS)
READY_DOCS := $(VENV)/.docs-$(DEPS)

# Nothing here may reach for a model or a data set, and no checkout may stand in for the wheel.
export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1
export TRANSFORMERS_OFFLINE := 1
unexport PYTHONPATH

.PHONY: demo test lint docs matrix fuzz study study_full torture mutants trainers vllm clean

demo: $(READY_WHEEL)
	PATH="$(CURDIR)/$(BIN):$$PATH" && \
	student="$$(lnat student)" && \
	lm_eval --model hf --model_args pretrained="$$student",dtype=float32 \
		--tasks local_naturalness --log_samples --output_path out && \
	lnat rank out --brief --metric all --reference tasks/local_naturalness/reference.json

JOBS ?= 2
study study_full: export OMP_NUM_THREADS := 1

study: $(READY_WHEEL)
	$(BIN)/python examples/study/make_study.py out/study_short --size short
	$(BIN)/lnat study out/study_short/*/study_*.yaml --output_path out/study_short/results --jobs $(JOBS)

study_full: $(READY_WHEEL)
	$(BIN)/python examples/study/make_study.py out/study
	$(BIN)/lnat study out/study/*/study_*.yaml --output_path out/study/results --jobs $(JOBS)

test: $(READY_WHEEL) $(READY_TEST)
	LNAT_TEST_INSTALLED=1 $(BIN)/pytest --junitxml=junit.xml $(PROCESSES) $(PYTEST_ARGS)

lint: $(READY_WHEEL) $(READY_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY_WHEEL) $(READY_DOCS)
	$(BIN)/python docs/generate.py --check
	$(BIN)/sphinx-build -q -W --keep-going -b html docs out/docs

FUZZ ?= 20000
SEED ?= 1234

# atheris has wheels for few versions of Python, so that no extra names it.
fuzz: $(READY_WHEEL) $(READY_TEST)
	$(if $(GUIDED),$(PIP) install atheris)
	$(BIN)/python -m tests.fuzz $(FUZZ) --seed $(SEED) $(if $(GUIDED),--guided)

# What meets torch, transformers, lm-eval and pydantic; training and the examples are left to `test`.
CORE := tests/steps tests/teacher_set tests/engine tests/scoring tests/metrics tests/ranking \
	tests/selection tests/plugins tests/harness tests/cli tests/test_api.py

matrix:
	$(MAKE) test VENV=.venv-oldest PYTHON=python3.10 CONSTRAINTS=constraints-oldest.txt \
		PYTEST_ARGS="$(CORE)"
	$(MAKE) test VENV=.venv-newest PYTHON=python3.13 PYTEST_ARGS="$(CORE)"

SEED ?= 0
COUNT ?= 20

TARGET ?= all

torture: $(READY_WHEEL) $(READY_TEST)
	$(BIN)/python tests/torture --target $(TARGET) --seed $(SEED) --count $(COUNT)

mutants: $(READY_WHEEL) $(READY_TEST)
	$(BIN)/python tests/mutants.py --seed $(SEED) --count $(COUNT)

# Their environments are thrown away; pip's own variables may name an index of torch for CPUs.
trainers: $(READY_WHEEL)
	$(BIN)/python tests/trainers/run.py $(NAMES)

# .venv-vllm stays, since vLLM is large. RUNNER="token ids" or "prompt log-probabilities" alone.
vllm: $(READY_WHEEL)
	$(BIN)/python tests/vllm/run.py --wheel dist/*.whl --keep .venv-vllm \
		$(if $(RUNNER),--runner "$(RUNNER)") $(STUDENTS)

# torch comes first and alone, so that nothing else can choose another build of it.
# setuptools comes with it: the wheel is built here, not in a fresh environment.
$(READY_VENV):
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.torch-*
	$(PIP) install --constraint $(CONSTRAINTS) torch==$(TORCH) setuptools
	touch $@

# An old build/ would put deleted files into the wheel.
$(READY_WHEEL): $(READY_VENV)
	rm -rf build dist lnat_plugins.egg-info $(VENV)/.wheel-*
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build lnat_plugins.egg-info
	$(PIP) install --no-deps --force-reinstall dist/*.whl
	$(PIP) install --constraint $(CONSTRAINTS) lnat-plugins
	touch $@

$(READY_TEST): $(READY_WHEEL)
	rm -f $(VENV)/.test-*
	$(PIP) install --constraint $(CONSTRAINTS) "lnat-plugins[test]"
	touch $@

$(READY_DOCS): $(READY_WHEEL)
	rm -f $(VENV)/.docs-*
	$(PIP) install --constraint $(CONSTRAINTS) "lnat-plugins[docs]"
	touch $@

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest .venv-vllm build dist lnat_plugins.egg-info out junit.xml \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
