# Needs make and Python 3.11 to 3.14; everything else comes into .venv from the lock files.
#
#   make run [DATA=file] [ONCE=1] [ARGS='options of nonzero demo']   serve, and replay a click log through the service
#   make pair [PLACE=folder] [PORT=8000]                             two nodes and PostgreSQL, of which one may fail
#   make test [ARGS='options of pytest']                             the whole test suite
#   make kernels                                                     compile what the tests need and has changed
#   make check                                                       formatter, linter, type checker
#   make bench [QUICK=1] [ARGS='options of python -m bench']         the benchmarks, each against its peers in the same run
#   make soak [SOAK_SECONDS=3600] [FUZZ_SECONDS=120] [ARGS=...]      the long tests, with a report
#   make docs                                                        the site of the pages, build/site/index.html
#   make dist                                                        the files of a release, in dist/, checked
#   make lock                                                        choose the newest versions and write them down
#
# PYTHON=python3.12 chooses the interpreter. pip's own settings (PIP_*, pip.conf) say where packages come from.

PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
BIN := .venv/bin
PIP = $(1)/bin/python -m pip --quiet --disable-pip-version-check
BUILD := .venv/build/bin/python core/nonzero/native/build
FOR_TESTS := --all --checked tests:kernels .:bench.roofline
SOURCES := $(shell find core service -name '*.py')

.PHONY: run pair test kernels check bench soak docs dist lock
.DELETE_ON_ERROR:

run: .venv/run .venv/kernels
	@$(BIN)/nonzero demo $(if $(DATA),"$$DATA") $(if $(filter-out 0,$(ONCE)),--once) $(ARGS)

pair: .venv/run .venv/kernels
	@deploy/pair.sh

test: .venv/kernels-for-tests .venv/test
	@$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(ARGS)

# Asked for by name it looks at the libraries themselves, which can be lost or damaged.
kernels: .venv/builder
	@$(BUILD) $(FOR_TESTS)
	@touch .venv/kernels .venv/kernels-for-tests

bench: .venv/kernels-for-tests .venv/bench
	@$(BIN)/python -m bench $(if $(filter-out 0,$(QUICK)),--quick) $(ARGS)

soak: .venv/kernels-for-tests .venv/soak
	@$(BIN)/python -m pytest -m 'soak or hypothesis' --hypothesis-profile thorough -rA --report $(or $(REPORT),docs/reports/soak.md) \
	  $(if $(SOAK_SECONDS),--soak-seconds $(SOAK_SECONDS)) $(if $(FUZZ_SECONDS),--fuzz-seconds $(FUZZ_SECONDS)) $(ARGS)

check: .venv/test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py

# What warns fails: a link that leads nowhere, a page that nothing leads to, a docstring that cannot be read.
docs: .venv/kernels .venv/docs
	@rm -rf build/site
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --builder html --doctree-dir build/doctrees \
	  --conf-dir docs/site . build/site $(ARGS)
	@echo 'build/site/index.html'

# The times within are the commit's, so that the same commit gives the same bytes on any day and in any folder. What is built
# of the sdist alone, with nothing compiled before, has to be the same too.
dist: .venv/kernels .venv/dist
	@.ci/dist

# Numba compiles the kernels, in an environment of its own: nothing else needs it.
.venv/builder: .venv/place requirements-build.txt requirements-linker.txt
	@echo 'Installing what compiles the kernels into .venv/build'
	@$(BIN)/python -m venv --clear .venv/build
	@$(call PIP,.venv/build) install --require-hashes --requirement requirements-build.txt
	@command -v ld >/dev/null || $(call PIP,.venv/build) install --require-hashes --requirement requirements-linker.txt
	@touch $@

# These say what they compile, and how long it took.
.venv/kernels: .venv/builder $(SOURCES)
	@$(BUILD)
	@touch $@

.venv/kernels-for-tests: .venv/builder $(SOURCES) tests/kernels.py bench/roofline.py
	@$(BUILD) $(FOR_TESTS)
	@touch .venv/kernels $@

# What running needs, and what working on it needs too. The project itself is installed as a path, so that an edit needs no
# second installation; only new metadata does.
EDITABLE = rm -rf .venv/wheel && .venv/build/bin/python -m hatchling build --target wheel:editable --directory .venv/wheel >/dev/null && \
  $(call PIP,.venv) install --no-deps --force-reinstall .venv/wheel/*.whl

.venv/run: .venv/place pyproject.toml | .venv/kernels
	@echo 'Installing what running needs into .venv'
	@$(call PIP,.venv) install --require-hashes --requirement requirements.txt
	@$(EDITABLE)
	@touch $@

.venv/test: .venv/place pyproject.toml | .venv/kernels
	@echo 'Installing what running and testing need into .venv'
	@$(call PIP,.venv) install --require-hashes --requirement requirements-dev.txt
	@$(EDITABLE)
	@touch $@ .venv/run

.venv/bench: .venv/run requirements-bench.txt
	@echo 'Installing the peers of the benchmarks into .venv'
	@$(call PIP,.venv) install --require-hashes --requirement requirements-bench.txt
	@touch $@

.venv/soak: .venv/test requirements-soak.txt
	@echo 'Installing what the long tests need beside it into .venv'
	@$(call PIP,.venv) install --require-hashes --requirement requirements-soak.txt
	@touch $@

# What parses on a cluster is half a gigabyte: who tests that, or uses it, asks for it.
.venv/ray: .venv/test requirements-ray.txt
	@echo 'Installing Ray into .venv'
	@$(call PIP,.venv) install --require-hashes --requirement requirements-ray.txt
	@touch $@

.venv/docs: .venv/test requirements-docs.txt
	@echo 'Installing what makes the site of the pages into .venv'
	@$(call PIP,.venv) install --require-hashes --requirement requirements-docs.txt
	@touch $@

# What sends a release needs nothing of what it sends, and comes into an environment of its own.
.venv/dist: .venv/place requirements-dist.txt
	@echo 'Installing what checks and sends a release into .venv/release'
	@$(BIN)/python -m venv --clear .venv/release
	@$(call PIP,.venv/release) install --require-hashes --requirement requirements-dist.txt
	@touch $@

# An environment that was moved or copied still points to where it was made, and one whose Python is gone runs nothing:
# both are made anew, as is one made from other locks.
ifneq ($(and $(wildcard $(BIN)/python),$(shell cat .venv/place 2>/dev/null)),$(CURDIR))
.PHONY: .venv/place
endif

.venv/place: requirements.txt requirements-dev.txt
	@lacking=; for python in $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || continue; \
	  if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "Making .venv with $$("$$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	    "$$python" -m venv --clear .venv && echo '$(CURDIR)' >$@; exit; \
	  fi; \
	  lacking=$${lacking:-python$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}; \
	done; \
	if [ "$$lacking" ]; then \
	  echo "$$lacking cannot make a virtual environment: it comes without ensurepip."; \
	  echo "On Debian and Ubuntu: apt-get install $$lacking-venv"; \
	else \
	  echo 'Nonzero needs Python 3.11 to 3.14; none of these is one: $(PYTHONS)'; \
	  echo 'On Debian and Ubuntu: apt-get install python3 python3-venv; or name one: make PYTHON=/path/to/python3'; \
	fi >&2; exit 1

# uv only resolves, in an environment of its own; nothing else needs it. One file serves Python 3.11 to 3.14 on any platform.
# What runs has one version in all files. UPGRADE= keeps the versions that are written there.
UPGRADE ?= --upgrade
UV_LOCK = .venv/lock/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

lock: .venv/place
	@$(BIN)/python -m venv --clear .venv/lock && .venv/lock/bin/python -m pip --quiet install uv
	$(UV_LOCK) $(UPGRADE) --extra service --extra arrow --extra onnx --extra postgres --extra kafka --extra files pyproject.toml client/pyproject.toml --group dev --output-file requirements-dev.txt
	$(UV_LOCK) --constraint requirements-dev.txt --extra service --extra postgres --extra kafka --extra files pyproject.toml --output-file requirements.txt
	$(UV_LOCK) --constraint requirements-dev.txt --extra service --extra arrow pyproject.toml --group bench --output-file requirements-bench.txt
	$(UV_LOCK) --constraint requirements-dev.txt --extra service pyproject.toml --group soak --output-file requirements-soak.txt
	$(UV_LOCK) --constraint requirements-dev.txt --extra ray pyproject.toml --output-file requirements-ray.txt
	$(UV_LOCK) --constraint requirements-dev.txt --extra service --extra arrow --extra files --extra kafka --extra onnx --extra otel --extra postgres --extra river --extra sklearn \
	  pyproject.toml client/pyproject.toml --group docs --output-file requirements-docs.txt
	$(UV_LOCK) --constraint requirements-dev.txt --constraint requirements-docs.txt --group dist --output-file requirements-dist.txt
	$(UV_LOCK) $(UPGRADE) --group build --output-file requirements-build.txt
	$(UV_LOCK) $(UPGRADE) --group linker --output-file requirements-linker.txt
	@rm -r .venv/lock
