# Everything happens in .venv; each target does its own set-up.
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup setup-test book read test lint bench unlocked settings wheel clean

help:      ## what there is
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

setup:     ## make .venv with the pinned packages
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh --browser

book: setup  ## run every notebook and build the site in _build/html
	@$(PY) scripts/book.py

read: book  ## serve the built book on this machine and print its address
	@$(PY) scripts/serve.py

test: setup-test book  ## run the tests, on the code and on the built site
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

lint: setup  ## style and spelling
	@$(PY) -m ruff check . && $(PY) -m codespell_lib book edmse_lite tests scripts notebooks *.md

bench: setup  ## speed and memory on two CPU cores
	@$(PY) scripts/bench.py

unlocked: setup  ## run every notebook with the newest packages and the oldest, without the lock
	@$(PY) scripts/unlocked.py && $(PY) scripts/unlocked.py --oldest

settings: setup  ## copy the repository's address and tag from pyproject.toml to every place that needs them
	@$(PY) scripts/settings.py

wheel: setup  ## build dist/edmse_lite-*.whl
	@rm -rf build && $(PY) -m pip wheel -q --no-deps --no-build-isolation -w dist .

clean:     ## remove the built site and its cache
	@rm -rf _build dist build
