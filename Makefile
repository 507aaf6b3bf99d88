# make            builds bin/ (and the CUDA plug-in where nvcc is found)
# make demo       installs what is missing, builds, runs the main job on real pictures
# make check      the tests;  SANITIZE=1: under the address and undefined-behaviour sanitizers
# make bench      the measurements
# make fuzz       every fuzzer, SECONDS=60 each
# make install    PREFIX=/usr/local DESTDIR=

# ---- Debian packages, named here and nowhere else --------------------------------------------------
BUILD_PACKAGES = gcc libc6-dev libdnnl-dev libopenblas-openmp-dev libmsgpack-dev zlib1g-dev
DEMO_PACKAGES  = $(BUILD_PACKAGES) xz-utils libjpeg-dev curl dataset-fashion-mnist
CHECK_PACKAGES = $(BUILD_PACKAGES) xz-utils libjpeg-dev libcmocka-dev bats mandoc jq python3 python3-numpy \
                 python3-msgpack-numpy dataset-fashion-mnist
BENCH_PACKAGES = $(CHECK_PACKAGES) python3-torch
FUZZ_PACKAGES  = $(BUILD_PACKAGES) clang libclang-rt-dev

# ---- settings ----------------------------------------------------------------------------------------
CC      ?= cc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
VERSION  = 0.1
NVCC    ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))

B   = build
BIN = bin
ifdef SANITIZE
B   = build-sanitize
BIN = bin-sanitize
CFLAGS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif

WARN = -Wall -Wextra -Wpedantic $(if $(CI),-Werror)
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -fopenmp -fno-math-errno -MMD -MP $(WARN) $(CFLAGS)
LIBS = -ldnnl -lopenblas -lmsgpackc -lz -lm -ldl -lpthread

TOOLS   = $(patsubst src/%.c,$(BIN)/%,$(wildcard src/*.c))
COMMON  = $(patsubst %.c,$B/%.o,$(wildcard common/*.c))
KERNELS = $(patsubst %.c,$B/%.o,$(wildcard kernels/*.c kernels/reference/*.c kernels/cpu/*.c))
UNITS   = $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/*.c))

all: $(TOOLS) $(if $(NVCC),cuda)

# ---- tools -------------------------------------------------------------------------------------------
$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<
# The CPU kernels' plain loops are the ones worth vectorising.
$B/kernels/%.o: CFLAGS += -O3

$B/libcommon.a: $(COMMON)
	@rm -f $@
	ar rcs $@ $^
$B/libkernels.a: $(KERNELS)
	@rm -f $@
	ar rcs $@ $^

# A tool that calls no kernel takes nothing from libkernels.a and so links no library of it.
$(BIN)/%: $B/src/%.o $B/libcommon.a $B/libkernels.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fopenmp -o $@ $< $B/libkernels.a $B/libcommon.a -Wl,--as-needed $(LIBS)

# ---- the CUDA plug-in --------------------------------------------------------------------------------
-include kernels/cuda/build.mk
.PHONY: cuda
cuda:

# ---- tests -------------------------------------------------------------------------------------------
$B/tests/%: $B/tests/unit/%.o $B/libcommon.a $B/libkernels.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fopenmp -o $@ $< $B/libkernels.a $B/libcommon.a -Wl,--as-needed -lcmocka $(LIBS)

.PHONY: all units clean
units: $(UNITS)
clean:
	rm -rf build build-* bin bin-*
.SECONDARY:
-include $(shell find $B -name '*.d' 2>/dev/null)
