# The menu. `make demo` and `make test` need nothing but python3, make and, for missing system packages, root.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
comma  := ,

TEST_PACKAGES := systemd mosquitto mosquitto-clients pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 openssl snmpd \
                 chromium chromium-driver fonts-dejavu-core gcc libc6-dev python3-dev
SYSTEM_PACKAGES := debootstrap systemd-container
SYSTEM_ROOT ?= build/debian
SYSTEM_SUITE ?= $(shell . /etc/os-release; echo $$VERSION_CODENAME)  # its Python must fit the wheels made here

export PYTHON WHEELS PURGE
ifneq ($(origin EXTRAS),undefined)
export EXTRAS
endif

.PHONY: help demo test test-system venv readme report lint unit bench bench-fleet soak install uninstall wheels drives evaluate clean
help:            ## show this menu
	@sed -n 's/^\([a-z-]*\): *[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo:            ## simulate a drive-by, replay it, print the events, draw the picture into demo-out/
	.ci/venv $(VENV) plot
	$(BIN)/sirend demo --out demo-out

test:            ## install what the tests need, then lint, type check and run every test
	.ci/system-packages $(TEST_PACKAGES)
	.ci/venv $(VENV) plot,test,train,psds
	$(MAKE) --no-print-directory lint unit

venv:            ## .venv with more of sirend's extras: make venv EXTRAS=plot,train
	.ci/venv $(VENV) $(or $(EXTRAS),plot)

readme:          ## make the generated parts of README.md anew
	$(BIN)/python tests/readme.py

lint:            ## ruff and mypy --strict over everything (after `make test` has installed them)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit:            ## pytest alone (after `make test` has installed it)
	$(BIN)/pytest

bench:           ## speed and memory beside YAMNet's, in one run
	.ci/venv $(VENV) plot
	$(BIN)/python tests/bench/bench.py

soak:            ## hours of audio through the daemon, and what grows: make soak [HOURS=24] [SOAK="--realtime --channels 4"]
	.ci/system-packages mosquitto libportaudio2
	.ci/venv $(VENV) plot
	$(BIN)/python tests/bench/soak.py --hours $(or $(HOURS),24) $(SOAK)

install:         ## install or upgrade the service on this machine (as root): make install [EXTRAS=web,monitor] [WHEELS=DIR]
	systemd/install

uninstall:       ## take it off again (as root); configuration and journal stay, unless PURGE=yes
	systemd/uninstall

wheels:          ## everything an offline `make install WHEELS=build/wheels` needs, into build/wheels: make wheels [EXTRAS=...]
	.ci/venv $(VENV) plot
	$(BIN)/pip wheel --quiet -c .ci/constraints.txt -w build/wheels ".$(if $(EXTRAS),[$(EXTRAS)])"

test-system: EXTRAS := completion
test-system: wheels  ## the service in a Debian machine of its own, under systemd (as root; takes minutes)
	.ci/system-packages $(TEST_PACKAGES) $(SYSTEM_PACKAGES)
	.ci/venv $(VENV) plot,test,train,psds
	[ -e $(SYSTEM_ROOT)/sbin/init ] || debootstrap --variant=minbase \
		--include=systemd,systemd-sysv,dbus,python3-venv,libportaudio2,libasound2-plugins,make $(SYSTEM_SUITE) $(SYSTEM_ROOT)
	SIREND_SYSTEM_ROOT=$(SYSTEM_ROOT) $(BIN)/pytest -v tests/e2e/cabinet.py

drives:          ## figures of motion and of the called leg over DRIVES (default 200) simulated drive-bys, some minutes
	SIREND_DRIVES=$(or $(DRIVES),200) $(BIN)/pytest -s --timeout 3600 tests/test_motion.py tests/test_junction.py

bench-fleet:     ## 1,000 simulated sites on one mosquitto, on loopback: make bench-fleet [SITES=1000]
	.ci/system-packages mosquitto
	.ci/venv $(VENV) plot
	$(BIN)/python tests/bench/fleet.py --sites $(or $(SITES),1000)

report:          ## every figure in one page, build/report/index.md, which takes long: make report [DATA=DIR [PEER=yamnet.tflite]]
	.ci/system-packages mosquitto libportaudio2
	.ci/venv $(VENV) plot,test$(if $(DATA),$(comma)train$(comma)psds)
	$(BIN)/python tests/bench/report.py $(if $(DATA),--data $(DATA)) $(if $(PEER),--peer $(PEER))

evaluate:        ## detection figures of the shipped model on recordings: make evaluate DATA=DIR [PEER=yamnet.tflite]
	.ci/venv $(VENV) plot,train,psds
	$(BIN)/sirend evaluate --data $(DATA) $(if $(PEER),--peer $(PEER)) --report build/report

clean:           ## remove everything that was made here
	rm -rf $(VENV) build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
