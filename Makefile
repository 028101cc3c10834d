# Every line can be typed by hand; docs/building.md explains them.
EXPERIMENT ?= experiments/digits.toml
PORT ?=
BOARD ?= nucleo_l452re
CLOCK ?= 48000000

BIN := .venv/bin
C_SOURCES = $(shell find benchmarks boards firmware lib/nn_runtime platform test/test_kernels test/test_calibrate -name '*.[ch]')

.DEFAULT_GOAL := help
.PHONY: help run test bench setup lint test-c test-device test-python clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

run: setup ## set up, then the whole path from data set to measured image (EXPERIMENT=experiments/x.toml)
	$(BIN)/microai run $(EXPERIMENT)

test: lint test-c test-device test-python ## set up, then every test

bench: setup ## the paper's network beside other systems (BOARD=sparkfun_edge, CLOCK=80000000); build/bench/*.json
	$(BIN)/microai bench --board $(BOARD) --clock $(CLOCK) --json build/bench/$(BOARD)-$(CLOCK).json

setup: ## .venv with the pinned packages, and the system packages that are missing
	@scripts/setup.sh

lint: setup ## ruff, mypy, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES)

test-c: setup ## kernel tests: host with sanitizers, host and virtual boards, through CMake and PlatformIO
	cmake -S . -B build/cmake-host -DCMAKE_C_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all"
	cmake --build build/cmake-host
	ctest --test-dir build/cmake-host --output-on-failure
	cmake -S . -B build/cmake-nucleo -DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake -DBOARD=nucleo_l452re
	cmake --build build/cmake-nucleo
	ctest --test-dir build/cmake-nucleo --output-on-failure
	$(BIN)/pio test -e native -e nucleo_l452re_virtual -e sparkfun_edge_virtual

test-device: setup ## the measured image on a virtual board, or on a real one (PORT=/dev/ttyACM0)
	$(BIN)/pytest -c test/on_device/pytest.ini test/on_device $(if $(PORT),--port=$(PORT))

test-python: setup ## unit tests of every stage
	$(BIN)/pytest -rs -n 2 --dist loadfile test/python

clean: ## removes what builds leave behind; keeps .venv and trained models
	rm -rf .pio build/cmake-* lib/nn_model compile_commands.json
