# The menu. `make demo` and `make test` need nothing but python3, make and, for missing system packages, root.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

TEST_PACKAGES := mosquitto mosquitto-clients pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 openssl \
                 chromium chromium-driver fonts-dejavu-core

export PYTHON

.PHONY: help demo test lint unit bench evaluate clean
help:            ## show this menu
	@sed -n 's/^\([a-z]*\): *[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo:            ## simulate a drive-by, replay it, print the events, draw the picture into demo-out/
	.ci/venv $(VENV) plot
	$(BIN)/sirend demo --out demo-out

test:            ## install what the tests need, then lint, type check and run every test
	.ci/system-packages $(TEST_PACKAGES)
	.ci/venv $(VENV) plot,test,train
	$(MAKE) --no-print-directory lint unit

lint:            ## ruff and mypy --strict over everything (after `make test` has installed them)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit:            ## pytest alone (after `make test` has installed it)
	$(BIN)/pytest

bench:           ## speed and memory beside YAMNet's, in one run
	.ci/venv $(VENV) plot
	$(BIN)/python tests/bench/bench.py

evaluate:        ## detection figures of the shipped model on recordings: make evaluate DATA=DIR [PEER=yamnet.tflite]
	.ci/venv $(VENV) plot,train
	$(BIN)/sirend evaluate --data $(DATA) $(if $(PEER),--peer $(PEER)) --report build/report

clean:           ## remove everything that was made here
	rm -rf $(VENV) build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
