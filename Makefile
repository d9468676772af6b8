# Needs python3 (3.10 to 3.13) and make; everything else is installed into .venv, once, and again when setup.cfg changes.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# PYTHON=... chooses the interpreter; else the first of these that runs, fits and can make an environment
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
endif

VENV  := .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/ready

# each worker loads TensorFlow of its own (1 to 2 GB)
PYTEST_FLAGS ?= -n 2 --dist loadfile
# what the two other engines are tested with
JAX   ?= jax
TORCH ?= torch==2.13.0
TIMM  ?= timm==1.0.31
GRAIN ?= grain==0.2.18
# GluonCV's last release runs on nothing newer
PYTHON_GLUONCV ?= python3.11
DATA  ?=
OUT   ?= out/demo
ARGS  ?=

BLUE := $(if $(NO_COLOR),,$(shell test -t 2 && printf '\033[1;34m'))
PLAIN := $(if $(BLUE),$(shell printf '\033[0m'))
say = printf '%s==> %s%s\n' '$(BLUE)' $(1) '$(PLAIN)'

# $(call environment,FOLDER): a fresh one unless FOLDER holds a Python that still runs
environment = $(1)/bin/python -c '' 2>/dev/null || { rm -rf $(1); $(PYTHON) -m venv $(1); }

.PHONY: help
help:  ## this list
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

.PHONY: demo
demo: $(READY)  ## train on generated shapes, predict unseen ones, write overlays (OUT=out/demo)
	@$(VENV)/bin/sagemaker-semseg demo --output $(OUT) $(ARGS)

.PHONY: example
example: $(READY)  ## examples/local_life.py on generated images, or DATA=FOLDER ARGS="--class-names a,b,... --crop-size 240"
	@$(PY) examples/local_life.py $(if $(DATA),--data "$(DATA)") $(ARGS)

.PHONY: test
test: lint  ## ruff, mypy, import-linter, then every test that isn't slow
	@$(call say,'pytest')
	@$(PY) -m pytest -q -m "not slow and not browser" $(PYTEST_FLAGS) $(ARGS)

.PHONY: test-slow
test-slow: $(READY)  ## all tests, the slow ones too
	@$(call say,'pytest with the slow tests')
	@$(PY) -m pytest -q -m "not browser" $(PYTEST_FLAGS) $(ARGS)

BUSY ?= 3
.PHONY: test-busy
test-busy: $(READY)  ## the tests beside BUSY=3 endless loops on each core: none may depend on the clock
	@$(call say,'pytest on a busy machine')
	@loops=(); trap 'kill "$${loops[@]}"' EXIT; \
	for number in $$(seq $$(($(BUSY) * $$(getconf _NPROCESSORS_ONLN)))); do yes > /dev/null & loops+=($$!); done; \
	$(PY) -m pytest -q -m "not slow and not browser" $(PYTEST_FLAGS) $(ARGS)

.PHONY: test-jax test-torch
test-jax: .envs/jax/ready  ## the networks' numbers on JAX
	@$(call say,'pytest on JAX')
	@KERAS_BACKEND=jax .envs/jax/bin/python -m pytest -q -m parity tests/models tests/training/test_loss_on_jax.py $(ARGS)

test-torch: .envs/torch/ready  ## the networks' numbers on PyTorch, and exported files in a network of PyTorch alone
	@$(call say,'pytest on PyTorch')
	@KERAS_BACKEND=torch .envs/torch/bin/python -m pytest -q -m parity tests/models $(ARGS)
	@.envs/torch/bin/python -m pytest -q -m parity tests/export $(ARGS)

.PHONY: test-recordio
test-recordio: $(READY) .envs/recordio/ready  ## replies of the endpoint read by MXNet and by SageMaker's own package
	@$(PY) tests/peers/write_replies.py .envs/recordio/replies
	@.envs/recordio/bin/python tests/peers/read_replies.py .envs/recordio/replies

.PHONY: test-clients test-sagemaker2 test-sagemaker3
test-clients: $(READY)  ## an endpoint on this machine asked by boto3 as it is
	@$(PY) tests/peers/with_endpoint.py $(PY) tests/peers/client_boto3.py

test-sagemaker2: $(READY) .envs/sagemaker2/ready  ## AWS's SDK 2: its names and requests beside ours, its Predictor on a local endpoint
	@.envs/sagemaker2/bin/python tests/peers/names_2.py --check
	@.envs/sagemaker2/bin/python tests/peers/recipe_2.py
	@.envs/sagemaker2/bin/python tests/peers/beside_2.py
	@.envs/sagemaker2/bin/python tests/peers/requests_2.py
	@$(PY) tests/peers/with_endpoint.py .envs/sagemaker2/bin/python tests/peers/client_2.py

test-sagemaker3: $(READY) .envs/sagemaker3/ready  ## AWS's SDK 3: its requests beside ours, its Endpoint on a local endpoint
	@.envs/sagemaker3/bin/python tests/peers/requests_3.py
	@$(PY) tests/peers/with_endpoint.py .envs/sagemaker3/bin/python tests/peers/client_3.py

.PHONY: test-bare
test-bare: .envs/bare/ready  ## AWS's notebook and its namespace without boto3, AWS's SDK, credentials and a network (Linux)
	@unshare -rn true || { echo 'make test-bare: unshare -rn is not allowed here' >&2; exit 2; }
	@unshare -rn .envs/bare/bin/python tests/peers/bare.py $(ARGS)

.PHONY: test-page
test-page: chromium .envs/page/ready docs-site examples/browser/node_modules/ready  ## the endpoint's page, the documentation and examples/browser in a real Chromium (on PATH, or CHROMIUM=/path/to/it)
	@$(call say,'pytest in Chromium')
	@.envs/page/bin/python -m pytest -q -m browser tests/browser $(ARGS)

.PHONY: reference
reference: $(READY) .envs/gluoncv/ready  ## the reference's numbers again from GluonCV, beside tests/reference (WRITE=1: written there)
	@.envs/gluoncv/bin/python -W ignore tests/reference/make_reference.py .envs/reference
	@$(PY) tests/reference/sample_reference.py .envs/reference $(if $(WRITE),,--check)

.PHONY: test-gluoncv test-timm test-finetune
test-gluoncv: $(READY) .envs/gluoncv/ready  ## weights there and back with GluonCV itself (MXNet 1.9.1)
	@$(call say,'pytest with GluonCV')
	@$(PY) -m pytest -q -s tests/weights/test_gluoncv.py $(ARGS)

test-timm: .envs/torch/timm  ## features of timm's backbones from timm's files
	@$(call say,'pytest with timm')
	@KERAS_BACKEND=torch .envs/torch/bin/python -m pytest -q -s tests/weights/test_timm.py tests/weights/test_files.py $(ARGS)

test-finetune: $(READY)  ## an imported model is trained further on the channels in DATA=FOLDER
	@test -d "$(DATA)" || { echo 'make test-finetune DATA=FOLDER: the folder that holds train, train_annotation, validation, validation_annotation' >&2; exit 2; }
	@$(PY) -m pytest -q -s tests/weights/test_finetune.py --data "$(DATA)" $(ARGS)

.PHONY: test-camvid
test-camvid: $(READY)  ## the checks of data on CamVid, which is a clean set (DATA=its four channels)
	@test -d "$(DATA)" || { echo 'make test-camvid DATA=FOLDER: the folder that holds train, train_annotation, validation, validation_annotation' >&2; exit 2; }
	@$(PY) -m pytest -q -s tests/checks/test_camvid.py --data "$(DATA)" $(ARGS)

IMAGE ?= sagemaker-semseg:test
.PHONY: test-docker
test-docker: $(READY)  ## build the image, then train and serve in it as SageMaker does; needs Docker (ARGS= for the build)
	@docker version >/dev/null || { echo 'make test-docker: there is no Docker daemon to ask' >&2; exit 2; }
	docker build -t $(IMAGE) --build-arg WEIGHTS= $(ARGS) .
	@$(PY) tests/peers/container.py $(IMAGE)

.PHONY: lint
lint: $(READY)  ## ruff, mypy, import-linter
	@$(call say,'ruff · mypy · import-linter')
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy --no-error-summary
	@$(VENV)/bin/lint-imports --no-logo > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

.PHONY: coverage
coverage: $(READY)  ## which lines the tests run: a table, and pages in out/coverage
	@$(call say,'pytest with coverage')
	@$(PY) -m pytest -q -m "not slow and not browser" $(PYTEST_FLAGS) --cov --cov-report term --cov-report html:out/coverage $(ARGS)

.PHONY: test-wheel test-lower-bounds
test-wheel: python  ## build dist/, install the wheel alone, train and predict with it
	@$(call say,'.envs/wheel: the wheel as pip installs it')
	@rm -rf dist .envs/wheel && $(PYTHON) -m venv .envs/wheel
	@.envs/wheel/bin/python -m pip install -qq -c constraints.txt build && .envs/wheel/bin/python -m build -q .
	@.envs/wheel/bin/python -m pip install -qq -c constraints.txt dist/*.whl
	@cd .envs/wheel && bin/sagemaker-semseg --version && bin/sagemaker-semseg demo --output demo && bin/sagemaker-semseg report demo/model

test-lower-bounds: python  ## the tests with the oldest releases that setup.cfg allows
	@$(call say,'.envs/lowest: installing (minutes)')
	@$(call environment,.envs/lowest)
	@.envs/lowest/bin/python -m pip install -qq uv
	@.envs/lowest/bin/python -m uv pip install -q --python .envs/lowest/bin/python --resolution lowest-direct -e '.[test]'
	@.envs/lowest/bin/python -m pytest -q -m "not slow and not browser" $(PYTEST_FLAGS) $(ARGS)

.PHONY: constraints
constraints: $(READY)  ## write constraints.txt: the newest releases of everything, for all Pythons
	@$(PY) -m pip install -qq uv
	@head -2 constraints.txt > $(VENV)/constraints.txt
	@$(PY) -m uv pip compile -q setup.cfg --extra dev --universal --python-version 3.10 --no-header --no-annotate --upgrade >> $(VENV)/constraints.txt
	@cp $(VENV)/constraints.txt constraints.txt
	@$(call say,'constraints.txt')

.PHONY: docs
docs: $(READY)  ## write docs/hyperparameters.md from the table, and docs/sagemaker_names.md
	@$(PY) -m sagemaker_semseg.hyperparameters > $(VENV)/page.md
	@cp $(VENV)/page.md docs/hyperparameters.md
	@PYTHONPATH=. $(PY) tests/sagemaker/names.py > $(VENV)/page.md
	@cp $(VENV)/page.md docs/sagemaker_names.md
	@$(call say,'docs/hyperparameters.md · docs/sagemaker_names.md')

# the newest release whose parts were all to be had when this was written; Material for MkDocs, which it succeeds, ends in 2027
ZENSICAL ?= zensical==0.0.73 mkdocstrings-python==2.0.11 ruff==0.17.6
.PHONY: docs-site
docs-site: $(READY) .envs/site/ready  ## the documentation as a site: out/docs-site/site/index.html, which needs no server
	@$(call say,'Zensical')
	@$(PY) docs/site/make_pages.py out/docs-site
	@cd out/docs-site && $(CURDIR)/.envs/site/bin/zensical build --clean --strict
	@$(PY) docs/site/finish_site.py out/docs-site/site
	@$(call say,'out/docs-site/site/index.html')

.PHONY: sagemaker-names
sagemaker-names: .envs/sagemaker2/ready  ## the public names of AWS's SDK 2 again, for the tests and make docs
	@.envs/sagemaker2/bin/python tests/peers/names_2.py

.PHONY: peers
peers: .envs/gluoncv/ready .envs/torch/ready  ## environments with what the benchmarks compare with

.PHONY: bench-training bench-pipeline bench-recordio bench-camvid
bench-training: $(READY) peers  ## images/s and memory of training beside GluonCV and PyTorch
	@$(PY) benchmarks/training_speed.py $(ARGS)

bench-pipeline: $(READY) peers  ## images/s of the input pipeline beside GluonCV's loader
	@$(PY) benchmarks/pipeline_speed.py $(ARGS)

.PHONY: bench-gpu
bench-gpu: .envs/jax/ready .envs/torch/ready  ## training steps on one GPU, Keras on JAX beside PyTorch; or on the CPU, to try it
	@.envs/torch/bin/python benchmarks/gpu_speed.py $(ARGS)

.PHONY: bench-readers
bench-readers: $(READY) .envs/torch/ready  ## images/s of threads and processes that read, beside PyTorch's and grain's loaders
	@.envs/torch/bin/python -m pip install -qq '$(GRAIN)'
	@$(PY) benchmarks/reader_speed.py $(ARGS)

.PHONY: bench-memory
bench-memory: $(READY)  ## memory of training, validation and serving beside its estimate
	@$(PY) benchmarks/memory.py $(ARGS)

.PHONY: bench-manifest
bench-manifest: $(READY)  ## time and memory of a manifest of a million lines
	@$(PY) benchmarks/manifest_memory.py $(ARGS)

.PHONY: bench-artifacts
bench-artifacts: $(READY)  ## memory and time of hostile artifacts, beside onnx and tarfile
	@$(PY) benchmarks/hostile_artifacts.py

bench-recordio: $(READY) .envs/recordio/ready  ## MB/s of RecordIO beside MXNet's reader
	@$(PY) benchmarks/recordio_speed.py $(ARGS)

.PHONY: bench-serving bench-overload soak
bench-serving: $(READY) peers  ## latency of the endpoint beside ONNX Runtime, OpenVINO, GluonCV, PyTorch and Keras
	@$(PY) benchmarks/serving_latency.py $(ARGS)

bench-overload: $(READY)  ## the endpoint under twice the load that it can bear
	@$(PY) benchmarks/overload.py $(ARGS)

soak: $(READY)  ## half an hour of good and hostile clients against the endpoint
	@$(PY) benchmarks/soak.py $(ARGS)

.PHONY: soak-training
soak-training: $(READY)  ## kill a training 200 times and compare its bytes (an hour)
	@$(PY) benchmarks/soak_training.py $(ARGS)

.PHONY: bench-check
bench-check: $(READY)  ## pairs a minute and memory of `check`
	@$(PY) benchmarks/check_speed.py $(ARGS)

bench-camvid: $(READY)  ## a training on CamVid (DATA=folder with the four channels)
	@test -d "$(DATA)" || { echo 'make bench-camvid DATA=FOLDER: the folder that holds train, train_annotation, validation, validation_annotation' >&2; exit 2; }
	@$(PY) benchmarks/camvid.py --data "$(DATA)" $(ARGS)

.PHONY: bench-recipes
bench-recipes: $(READY)  ## training recipes at the same CPU time (DATA=folder with the four channels)
	@test -d "$(DATA)" || { echo 'make bench-recipes DATA=FOLDER: the folder that holds train, train_annotation, validation, validation_annotation' >&2; exit 2; }
	@$(PY) benchmarks/recipes.py --data "$(DATA)" $(ARGS)

.PHONY: bench-recipes-gpu
bench-recipes-gpu: .envs/jax/ready  ## the same on one GPU, with Keras on JAX (JAX='jax[cuda13]', DATA as above)
	@test -d "$(DATA)" || { echo 'make bench-recipes-gpu DATA=FOLDER: as for bench-recipes' >&2; exit 2; }
	@.envs/jax/bin/python benchmarks/recipes_gpu.py --data "$(DATA)" --page benchmarks/results/recipes_gpu-$$(date +%F).md $(ARGS)

.PHONY: clean
clean:  ## remove the environments, caches and the demo's output
	rm -rf .venv .envs out build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environments. -qq: an error is shown, pip's chatter isn't.
.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo 'No Python 3.10 to 3.13 with venv and ensurepip found. Install one (Debian: python3-venv) or say which: make PYTHON=/path/to/python3' >&2; exit 2; }

.PHONY: chromium
chromium:
	@command -v $${CHROMIUM:-chromium chromium-browser google-chrome} > /dev/null || { echo 'No Chromium found. Install it (Debian: chromium) or say where it is: make test-page CHROMIUM=/path/to/it' >&2; exit 2; }

$(READY): setup.cfg pyproject.toml constraints.txt | python
	@$(call say,'.venv: installing (minutes the first time)')
	@$(call environment,$(VENV))
	@$(PY) -m pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@

.envs/jax/ready: setup.cfg pyproject.toml | python
	@$(call say,'.envs/jax: installing (minutes)')
	@$(call environment,.envs/jax)
	@.envs/jax/bin/python -m pip install -qq -e '.[test]' '$(JAX)'
	@touch $@

.envs/torch/ready: setup.cfg pyproject.toml | python
	@$(call say,'.envs/torch: installing (minutes)')
	@$(call environment,.envs/torch)
	@.envs/torch/bin/python -m pip install -qq -e '.[test]' '$(TORCH)'
	@touch $@

.envs/site/ready: Makefile | python
	@$(call say,'.envs/site: installing (seconds)')
	@$(call environment,.envs/site)
	@.envs/site/bin/python -m pip install -qq $(ZENSICAL)
	@touch $@

.envs/page/ready: setup.cfg pyproject.toml | python
	@$(call say,'.envs/page: installing (minutes)')
	@$(call environment,.envs/page)
	@.envs/page/bin/python -m pip install -qq -e '.[test]' 'playwright>=1.49'
	@touch $@

examples/browser/node_modules/ready: examples/browser/package-lock.json
	@command -v npm > /dev/null || { echo 'No npm found, which fetches onnxruntime-web. Install it (Debian: npm)' >&2; exit 2; }
	@$(call say,'examples/browser: npm ci')
	@cd examples/browser && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# without what it asks for: torchvision has to match PyTorch's build, and nothing here needs it
.envs/torch/timm: .envs/torch/ready
	@.envs/torch/bin/python -m pip install -qq --no-deps '$(TIMM)'
	@touch $@

.envs/gluoncv/ready:
	@$(call say,'.envs/gluoncv: installing (minutes)')
	@rm -rf .envs/gluoncv && $(PYTHON_GLUONCV) -m venv .envs/gluoncv
	@.envs/gluoncv/bin/python -m pip install -qq mxnet==1.9.1 gluoncv==0.10.5.post0 numpy==1.23.5
	@touch $@

# $(call resolve,FOLDER,PACKAGES): with uv, because pip takes ten minutes to choose the versions that AWS's SDKs ask for
resolve = $(1)/bin/python -m pip install -qq uv && $(1)/bin/python -m uv pip install -q --python $(1)/bin/python $(2)

# AWS's SDK in the versions that the comparison was made with, moto to answer it, and what the sdk room asks for
SDK_NEEDS := 'moto[s3,sagemaker]==5.2.5' safetensors pillow rich psutil jinja2
.envs/sagemaker2/ready: | python
	@$(call say,'.envs/sagemaker2: installing (half a minute)')
	@$(call environment,.envs/sagemaker2)
	@$(call resolve,.envs/sagemaker2,'sagemaker==2.257.7' $(SDK_NEEDS))
	@touch $@

.envs/sagemaker3/ready: | python
	@$(call say,'.envs/sagemaker3: installing (half a minute)')
	@$(call environment,.envs/sagemaker3)
	@$(call resolve,.envs/sagemaker3,'sagemaker==3.27.0' $(SDK_NEEDS))
	@touch $@

BARE_NEEDS := -e '.[serve,notebook,tune]' 'pytest>=8' 'nbclient>=0.10' 'nbformat>=5.10' 'ipykernel>=6.29'
.envs/bare/ready: setup.cfg pyproject.toml | python
	@$(call say,'.envs/bare: installing (a minute)')
	@$(call environment,.envs/bare)
	@$(call resolve,.envs/bare,$(BARE_NEEDS))
	@touch $@

# the last sagemaker that leaves numpy to MXNet; its record.proto is that of all later ones
.envs/recordio/ready:
	@$(call say,'.envs/recordio: installing (half a minute)')
	@rm -rf .envs/recordio && $(PYTHON_GLUONCV) -m venv .envs/recordio
	@$(call resolve,.envs/recordio,mxnet==1.9.1 numpy==1.23.5 sagemaker==2.243.2)
	@touch $@
