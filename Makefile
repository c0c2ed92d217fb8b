# Everything a developer runs. Nothing has to be installed before: the first target makes .venv and, on Debian as root,
# installs Python's venv; the local cluster fetches and builds the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV := .venv/.stamp
PYTHON := .venv/bin/python
LEVELS := lint unit property chart apiserver e2e

.PHONY: help demo compare test $(filter-out lint,$(LEVELS:%=test-%)) lint test-perf cluster-up cluster-down cluster-status images crds lock clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18
	@echo "test-LEVEL        one level of the tests: $(filter-out lint,$(LEVELS))"

demo: $(VENV) ## Local cluster, Keelway by Helm, real data to predictions, a canary and a rollback; leaves the cluster up
	$(PYTHON) -m dev.demo

compare: $(VENV) ## Bad models brought in by Keelway and by hand, side by side: what clients notice; leaves the cluster up
	$(PYTHON) -m dev.comparison

test: $(VENV) ## Linters and every level of the tests, what fails fast first; leaves nothing behind
	$(PYTHON) -m dev.levels $(LEVELS)

test-unit test-property test-chart test-apiserver test-e2e: test-%: $(VENV)
	$(PYTHON) -m dev.levels $*

test-perf: $(VENV) ## Benchmarks beside what everybody knows: ratios, minutes long; not part of `make test`
	$(PYTHON) -m dev.levels perf

lint: $(VENV) ## ruff, mypy --strict, layering, generated files up to date
	$(PYTHON) -m dev.levels lint

cluster-up: $(VENV) ## Start the local cluster with KServe, a gateway, S3 and Prometheus
	$(PYTHON) -m dev.cluster up

cluster-down: $(VENV) ## Remove it, without a trace
	$(PYTHON) -m dev.cluster down

cluster-status: $(VENV) ## What runs
	$(PYTHON) -m dev.cluster status

images: $(VENV) ## Build the images from the Dockerfile
	$(PYTHON) -m dev.images build

crds: $(VENV) ## Generate the CRDs from operator/keelway/api, for crds/ and the chart
	$(PYTHON) -m keelway.crdgen crds
	$(PYTHON) -m keelway.crdgen charts/keelway/files/crds

lock: $(VENV) ## Resolve requirements/*.lock anew
	$(PYTHON) -m dev.lock

clean: ## Remove the cluster, caches and .venv of this clone
	if [ -x $(PYTHON) ]; then $(PYTHON) -m dev.cluster down; fi
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV): requirements/dev.lock pyproject.toml dev/venv.sh
	sh dev/venv.sh .venv
	touch $@
