# The menu. `make demo` and `make test` need nothing but python3, make and, for missing system packages, root.
PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 6
BIN    := $(VENV)/bin
comma  := ,

COMPILER      := g++ python3-dev  # the PSDS package is compiled on the spot
TEST_PACKAGES := python3-venv systemd mosquitto mosquitto-clients pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 openssl snmpd \
                 chromium chromium-driver fonts-dejavu-core prometheus $(COMPILER) \
                 python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
                 gstreamer1.0-libav glib-networking libfaketime
SYSTEM_PACKAGES := debootstrap systemd-container
SYSTEM_SUITE ?= $(shell . /etc/os-release; echo $$VERSION_CODENAME)
SYSTEM_ROOT ?= build/debian-$(SYSTEM_SUITE)
FOR ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-$(shell uname -m)
DEB_ARCH ?= $(shell dpkg --print-architecture)
DEB_MACHINE := $(if $(filter arm64,$(DEB_ARCH)),aarch64,x86_64)
SERVICE_EXTRAS := completion,gpio,metrics,monitor,ntcip,pki,plot,web
ARM64_PACKAGES := debootstrap qemu-user-static

export PYTHON WHEELS PURGE
ifneq ($(origin EXTRAS),undefined)
export EXTRAS
endif

.PHONY: help demo test test-arm64 test-system test-homeassistant test-cluster venv readme report lint unit unit-daemon unit-training fuzz chaos bench bench-fleet soak install uninstall wheels deb drives legs identity evaluate clean
help:            ## show this menu
	@sed -n 's/^\([a-z0-9-]*\): *[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

demo:            ## simulate a drive-by, replay it, print the events, draw the picture into demo-out/
	.ci/venv $(VENV) plot
	$(BIN)/sirend demo --out demo-out

test:            ## install what the tests need, then lint, type check and run every test
	@echo "Installs, where missing: mosquitto, PulseAudio, Chromium, snmpd, Prometheus, a compiler (0.7 GB of Debian packages), then"
	@echo "$(VENV) with TensorFlow (2.4 GB): 7 minutes on a fresh machine. Then linters, types and tests: 6 to 12 minutes on two cores."
	@echo "The light way, without TensorFlow and the tests of training: make venv EXTRAS=plot,test && make unit"
	.ci/system-packages $(TEST_PACKAGES)
	.ci/npm-package axe-core 4.14.1
	.ci/venv $(VENV) plot,test,train,psds
	$(MAKE) --no-print-directory -j 3 lint unit-daemon unit-training

venv:            ## .venv with more of sirend's extras: make venv EXTRAS=plot,train
	.ci/venv $(VENV) $(or $(EXTRAS),plot)

readme:          ## make the generated parts of README.md anew
	$(BIN)/python -m tests.readme

lint:            ## ruff, the direction of imports and mypy --strict over everything (after `make test` has installed them)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=daemon $(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# Compiled files are kept whatever the environment says: without them each worker, and each `sirend` that a test starts,
# compiles all of it again, 80 of 1,000 s of processor time. numpy has one thread, as `sirend` gives itself (cli/main.py).
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest
# The tests of training are a session of their own: each worker imports what it may run, and TensorFlow takes 9 s of
# processor time and .5 GB. Where it is not installed there is nothing to run.
SESSIONS = unit-daemon $(if $(wildcard $(VENV)/lib/*/site-packages/tensorflow),unit-training)

unit:            ## pytest alone (after `make test` has installed it); most tests wait: WORKERS at a time, and one of training
	$(MAKE) --no-print-directory -j 2 $(SESSIONS)

unit-daemon:
	$(PYTEST) -n $(WORKERS) --dist worksteal --ignore tests/training

unit-training:
	$(PYTEST) -n 1 tests/training

fuzz:            ## every parser against inputs without end: make fuzz [MINUTES=10]
	.ci/venv $(VENV) plot,test
	PYTHONPATH=.:daemon $(BIN)/python tests/fuzz/campaign.py --minutes $(or $(MINUTES),10)

chaos:           ## broker, daemon and consumer under faults of all kinds: make chaos [MINUTES=30] [SEED=7]
	.ci/system-packages mosquitto mosquitto-clients libfaketime
	.ci/venv $(VENV) plot,test
	$(BIN)/python -m tests.chaos.campaign --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

bench:           ## speed and memory beside YAMNet's, in one run, with one thread as the service has it
	.ci/venv $(VENV) plot
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.bench

soak:            ## hours of audio through the daemon, and what grows: make soak [HOURS=24] [SOAK="--realtime --channels 4"]
	.ci/system-packages mosquitto libportaudio2
	.ci/venv $(VENV) plot
	$(BIN)/python -m tests.bench.soak --hours $(or $(HOURS),24) $(SOAK)

install:         ## install or upgrade the service on this machine (as root): make install [EXTRAS=web,monitor] [WHEELS=DIR]
	systemd/install

uninstall:       ## take it off again (as root); configuration and journal stay, unless PURGE=yes
	systemd/uninstall

wheels:          ## what an offline `make install WHEELS=build/wheels` needs: make wheels [EXTRAS=...] [FOR=3.13-aarch64]
	.ci/venv $(VENV) plot,test
	$(BIN)/python .ci/wheels.py build/wheels $(FOR) "$(EXTRAS)"

deb:             ## a Debian package for Debian 12 and 13, into build/: make deb [DEB_ARCH=arm64]
	.ci/venv $(VENV) plot,test
	rm -rf build/wheels-$(DEB_ARCH)
	for python in 3.11 3.13; do \
		$(BIN)/python .ci/wheels.py build/wheels-$(DEB_ARCH) $$python-$(DEB_MACHINE) $(SERVICE_EXTRAS) || exit; done
	systemd/package build/wheels-$(DEB_ARCH) $(DEB_ARCH) build

test-system: deb ## the service in a Debian machine of its own, under systemd (as root; takes minutes): [SYSTEM_SUITE=trixie]
	.ci/system-packages $(TEST_PACKAGES) $(SYSTEM_PACKAGES)
	.ci/venv $(VENV) plot,test
	[ -e $(SYSTEM_ROOT)/sbin/init ] || debootstrap --variant=minbase \
		--include=systemd,systemd-sysv,dbus,python3-venv,libportaudio2,libasound2-plugins,make $(SYSTEM_SUITE) $(SYSTEM_ROOT)
	SIREND_SYSTEM_ROOT=$(SYSTEM_ROOT) SIREND_WHEELS=build/wheels-$(DEB_ARCH) $(BIN)/pytest -v tests/e2e/cabinet.py

test-arm64:      ## the program on emulated 64-bit Arm, Debian 12 and 13 (as root; takes minutes)
	.ci/system-packages $(ARM64_PACKAGES)
	.ci/venv $(VENV) plot,test
	.ci/arm64-root bookworm build/arm64-bookworm
	.ci/arm64-root trixie build/arm64-trixie
	$(BIN)/pytest -v -s tests/e2e/arm64.py

test-homeassistant: ## a site in a running Home Assistant, the newest that this Python takes (downloads 150 MB, takes minutes)
	.ci/system-packages mosquitto chromium chromium-driver fonts-dejavu-core
	.ci/venv $(VENV) plot,test
	.ci/home-assistant build/home-assistant
	SIREND_HOME_ASSISTANT=build/home-assistant $(BIN)/pytest -v --timeout 900 tests/e2e/home_assistant.py

test-cluster:    ## conf/broker/cluster in three nodes of RabbitMQ (as root, installs rabbitmq-server; a minute or two)
	.ci/system-packages mosquitto rabbitmq-server
	.ci/venv $(VENV) plot,test
	$(BIN)/pytest -v tests/conf/test_cluster.py

drives:          ## figures of motion, arrival and the called leg over DRIVES (default 200) simulated drive-bys, some minutes
	SIREND_DRIVES=$(or $(DRIVES),200) $(BIN)/pytest -s --timeout 3600 tests/detect/test_motion.py tests/detect/test_arrival.py tests/detect/test_tone.py tests/simulate/test_junction.py tests/test_pipeline_array.py

legs:            ## an array beside four microphones over DRIVES (default 200) drives, 15 minutes; goes on where it stopped
	.ci/venv $(VENV) plot
	$(BIN)/python -m tests.bench.legs --drives $(or $(DRIVES),200)

identity:        ## whether this checkout makes the same of twenty drive-bys as another, byte for byte: make identity OLD=DIR
	.ci/venv $(VENV) plot
	$(BIN)/python tests/bench/identity.py $(OLD) .

bench-fleet:     ## 1,000 simulated sites on one mosquitto, on loopback: make bench-fleet [SITES=1000] [BROKER=cluster]
	.ci/system-packages $(if $(filter cluster,$(BROKER)),rabbitmq-server,mosquitto)
	.ci/venv $(VENV) plot
	$(BIN)/python -m tests.bench.fleet$(if $(filter cluster,$(BROKER)),_cluster) --sites $(or $(SITES),1000)

report:          ## every figure in one page, build/report/index.md, which takes hours and goes on where it was: make report [DATA=DIR [PEER=yamnet.tflite] [HELD_OUT=DIR]] [BROKER=cluster] [QUICK=yes]
	.ci/system-packages mosquitto libportaudio2 $(if $(filter cluster,$(BROKER)),rabbitmq-server) $(if $(DATA),$(COMPILER))
	.ci/venv $(VENV) plot,test$(if $(DATA),$(comma)train$(comma)psds)
	$(BIN)/python -m tests.bench.report $(if $(DATA),--data $(DATA)) $(if $(PEER),--peer $(PEER)) \
		$(if $(HELD_OUT),--held-out $(HELD_OUT)) $(if $(QUICK),--quick) $(if $(filter cluster,$(BROKER)),--cluster)
	$(if $(QUICK),,$(BIN)/python -m tests.readme)

evaluate:        ## detection figures of the shipped model on recordings: make evaluate DATA=DIR [PEER=yamnet.tflite]
	.ci/system-packages $(COMPILER)
	.ci/venv $(VENV) plot,train,psds
	$(BIN)/sirend evaluate --data $(DATA) $(if $(PEER),--peer $(PEER)) --report build/report

clean:           ## remove everything that was made here
	rm -rf $(VENV) build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
