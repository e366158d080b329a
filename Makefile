# The commands of the README. Everything else is CMake: see CMakePresets.json.
#   make demo    set up, build, and watch the whole of it work
#   make test    set up, build, and run every test
#   make bench   set up, build, measure; make bench-NAME for one (see bench/)
#   make image   a container image, with docker, podman or buildah
# Long forms of tests (docs/reliability.md):
#   make faults  losses of power, failing operations, every byte of a data directory
#   make fuzz    decoders under arbitrary bytes: mutations, then libFuzzer with sanitizers
#   make arch    the same roots from more compilers, options and architectures
#   make kills   kill -9 and cut connections under load
#   make simulate   the engine's stages in seeded orders, with crashes and clock jumps
#   make soak    an hour of churn: memory and file descriptors stay flat
SHELL := /bin/bash
BUILD := build/release
JOBS ?= $(shell nproc)

.PHONY: all setup build demo test bench bench-build faults fuzz kills simulate soak arch image clean
all: build

setup:
	@deploy/install-packages.sh deploy/packages.txt

build: setup
	@cmake --preset release >build-configure.log 2>&1 || { cat build-configure.log; exit 1; }
	@rm -f build-configure.log
	@cmake --build --preset release -j $(JOBS)

demo: build
	@deploy/demo.sh "$(BUILD)"

test: build
	@cd "$(BUILD)" && ctest --output-on-failure -j $(JOBS)

bench-build: setup
	@cmake --preset release -DSTELE_BUILD_BENCH=ON >/dev/null
	@cmake --build --preset release -j $(JOBS)
	@cmake --preset release -DSTELE_BUILD_BENCH=OFF >/dev/null

bench: bench-build
	@/usr/bin/python3 bench/run.py --build "$(BUILD)" --out build/bench.json

bench-%: bench-build
	@/usr/bin/python3 bench/run.py --build "$(BUILD)" --out build/bench.json --only $*

# Share of the operations and bytes that the long form tries: one in so many.
ONE_IN ?= 1
CRASH_SEEDS ?= 18
faults: build
	@STELE_CRASH_SEEDS=$(CRASH_SEEDS) STELE_CRASH_ONE_IN=$(ONE_IN) "$(BUILD)/tests/fault/fault_power_loss_test"
	@STELE_ERROR_ONE_IN=$(ONE_IN) "$(BUILD)/tests/fault/fault_io_error_test"
	@STELE_BYTES_ONE_IN=$(ONE_IN) "$(BUILD)/tests/fault/fault_every_byte_test"

FUZZ_EXECUTIONS ?= 5000000
FUZZ_SECONDS ?= 20
fuzz: build
	@STELE_FUZZ_EXECUTIONS=$(FUZZ_EXECUTIONS) "$(BUILD)/tests/fuzz/fuzz_replay_test"
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz -j $(JOBS)
	@tests/fuzz/run.sh build/fuzz/tests/fuzz/fuzz_decoders $(FUZZ_SECONDS)

KILLS ?= 1000
kills: build
	@cd "$(BUILD)" && STELE_KILLS=$(KILLS) ctest --verbose -R '^e2e_test_(kills|crash)$$' --timeout 36000

SIMULATIONS ?= 20000
simulate: build
	@STELE_SIMULATIONS=$(SIMULATIONS) "$(BUILD)/tests/fault/fault_simulation_test"

SOAK_SECONDS ?= 3600
soak: build
	@STELE_SERVER="$(BUILD)/server/stele-server" PYTHONPATH="$(BUILD)/python" /usr/bin/python3 -B tests/e2e/soak.py $(SOAK_SECONDS)

arch: build
	@cd "$(BUILD)" && ctest -L golden --output-on-failure -j $(JOBS)
	@tests/golden/architectures.sh "$(BUILD)/architectures"

image:
	@deploy/build-image.sh

clean:
	@rm -rf build
