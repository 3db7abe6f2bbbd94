# Everything sets itself up: `make app` opens the dashboard, `make test` runs all tests.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: app test check bench soak assets pictures setup clean help

help:
	@echo "make app      set up and open the dashboard (ARGS='--port 8600 --data-root FOLDER')"
	@echo "make test     set up and run all tests, in a real Chromium too"
	@echo "make check    lint, format, strict types"
	@echo "make bench    time the engine on this machine, minutes (ARGS=--quick: one), writes benchmarks/results/"
	@echo "make soak     20 sessions at once, 50 kills, bad disks, half an hour; writes benchmarks/results/ too"
	@echo "make assets   rebuild the demo's data, checkpoints and stored results"
	@echo "make pictures remake the README's pictures from the running dashboard"

app: .venv/app.ready
	$(BIN)/python -m app $(ARGS)

test: .venv/test.ready
	@sh scripts/ensure-chromium.sh
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: .venv/test.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: .venv/test.ready
	@sh scripts/ensure-chromium.sh
	$(BIN)/python -m benchmarks.soak $(ARGS)

bench: .venv/test.ready
	$(BIN)/python -m benchmarks.engine $(ARGS)

assets: .venv/assets.ready
	$(BIN)/python -m fssd_core.assets build $(ARGS)

pictures: .venv/test.ready
	@sh scripts/ensure-chromium.sh
	$(BIN)/python -m scripts.pictures $(ARGS)

setup: .venv/test.ready

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/app.ready: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[app]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps imagecorruptions-imaug
	@touch $@

.venv/test.ready: .venv/app.ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[app,test,dev]'
	@touch $@

.venv/assets.ready: .venv/test.ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[app,test,dev,assets]'
	@touch $@

clean:
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
