# make demo   makes .venv on first use, then reconstructs a held-out picture with and without text
# make help   lists the rest

PYTHON ?= python3
# Extra words for pip, e.g. PIP_ARGS="--extra-index-url URL" to prefer a CPU-only build of torch.
PIP_ARGS ?=
# Extra words for JupyterLab, e.g. LAB_ARGS=--allow-root in a container.
LAB_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := dev,train,lcm
SITE_STAMP := $(VENV)/.installed-site
PLAYGROUND_STAMP := $(VENV)/.installed-playground
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb notebooks/solutions/*.ipynb))

# glibc otherwise returns every large tensor to the kernel and faults its pages in anew, at every step of a training on CPU.
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 8589934592
export MALLOC_TOP_PAD_ := 268435456

# The course runs on what ships in data/; the tests prove it by refusing the network.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

# Two files at a time, each on one thread: on two cores this is faster than one file on both. With THREADS=2 the two share the cores, and
# a thread that has nothing to do sleeps.
THREADS ?= 1
PYTEST := OMP_NUM_THREADS=$(THREADS) OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n 2 --dist loadfile

HOST ?= 127.0.0.1
PORT ?= 8866
BASE_URL ?= /

COUNT ?= 1000
SEED ?= 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo test test-code test-notebooks test-processors test-browser test-browser-lab test-browser-slides test-browser-site test-browser-playground playground site test-site test-nbgrader lint types fuzz wheel test-wheel lab notebooks bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## create .venv and install the pinned versions (the other targets do this by themselves)

$(STAMP): pyproject.toml constraints.txt treg_edu/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit("treg_edu needs Python 3.11 or newer; $(PYTHON) is %d.%d (make PYTHON=/path/to/python3.11 …)" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing treg_edu and the versions in constraints.txt (several minutes on first use)"
	@rm -rf treg_edu.egg-info  # what earlier versions left, which would be found first
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS)]"
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) --no-deps -c constraints.txt deepinv==0.5.0
	@touch $@

demo: $(STAMP) ## reconstruct a held-out picture, with text and without
	@$(BIN)/treg-edu demo

test: test-code test-notebooks ## run the tests, then every notebook against its committed outputs

test-code: $(STAMP)
	@$(OFFLINE) $(PYTEST)

test-notebooks: $(STAMP)
	@$(OFFLINE) $(PYTEST) --nbval notebooks/

test-processors: $(STAMP) ## do so as on other processors: SETTING=native, two-threads, avx2, default, or all in turn
	@$(BIN)/python tools/processors.py $(SETTING)

test-browser: test-browser-lab test-browser-slides test-browser-site test-browser-playground ## open every notebook in JupyterLab, every deck of slides, every page of the site and the playground in headless Chromium, which has to be installed

test-browser-lab: $(STAMP)
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),browser]"
	@$(OFFLINE) $(PYTEST) --dist load tests/browser/test_jupyterlab.py

test-browser-slides: $(STAMP)
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),browser,teach]"
	@$(OFFLINE) $(PYTEST) --dist load tests/browser/test_slides.py

test-browser-site: site
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),browser,site]"
	@$(OFFLINE) $(PYTEST) --dist load tests/browser/test_site.py

test-browser-playground: $(PLAYGROUND_STAMP)
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),browser,playground]"
	@$(OFFLINE) $(BIN)/python -m pytest -q tests/browser/test_playground.py

$(PLAYGROUND_STAMP): $(STAMP)
	@echo "installing what serves the playground"
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),playground]"
	@touch $@

playground: $(PLAYGROUND_STAMP) ## serve a page where visitors try the solvers: HOST=127.0.0.1 PORT=8866 BASE_URL=/
	@$(OFFLINE) $(BIN)/treg-edu playground --host $(HOST) --port $(PORT) --base-url $(BASE_URL)

$(SITE_STAMP): $(STAMP)
	@echo "installing what builds the site"
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),site]"
	@touch $@

site: $(SITE_STAMP) ## build the book of the course into out/site/, which needs no server; any warning fails
	@rm -rf out/site
	@$(BIN)/python tools/site_source.py out/site-source
	@TREG_EDU_ROOT="$(CURDIR)" $(OFFLINE) $(BIN)/python -m sphinx -q -W --keep-going -b html -d out/site-doctrees out/site-source out/site
	@echo "out/site/index.html"

test-nbgrader: $(STAMP) ## release and grade the course's assignments with nbgrader
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS),teach]"
	@$(OFFLINE) $(PYTEST) tests/teach

test-site: site ## build it and follow every link in it
	@$(BIN)/python -m pytest -q tests/site

lint: $(STAMP) ## check the code's style and layout (ruff)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(STAMP) ## check the types (mypy)
	@$(BIN)/mypy

fuzz: $(STAMP) ## try mutated inputs on every command: COUNT=1000, SEED=0; STATE=FILE goes on where it stopped
	@$(BIN)/python tools/fuzz.py --count $(COUNT) --seed $(SEED) $(if $(STATE),--state $(STATE))

wheel: $(STAMP) ## build the wheel, with the data and the notebooks, and the source distribution into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build

test-wheel: wheel ## install the wheel into an empty environment elsewhere, and use it there
	@PIP_ARGS="$(PIP_ARGS)" $(BIN)/python tools/check_wheel.py

lab: $(STAMP) ## open a working copy of the course in JupyterLab: treg-course/, which git ignores
	@$(BIN)/treg-edu lab $(LAB_ARGS)

notebooks: $(STAMP) ## execute every notebook from the top and save its outputs
	@$(OFFLINE) $(BIN)/python tools/run_notebooks.py $(NOTEBOOKS)

bench: $(STAMP) ## measure the solvers on this machine, the operators against deepinv's
	@$(BIN)/python tools/bench_with_deepinv.py

clean: ## remove what make made: .venv, caches, out/
	@rm -rf $(VENV) out build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find notebooks -name .ipynb_checkpoints -type d -prune -exec rm -rf {} + 2>/dev/null || true
