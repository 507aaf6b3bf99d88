# build.mk: the CUDA plug-in. Included by the Makefile, which sets NVCC; without one, `cuda` says so.
#
#   make cuda                          all cards from compute capability 7.5 on
#   make cuda CUDA_ARCHS=90            one only: quicker
#   make emulated                      the same sources on the CPU, for tests without a GPU

# Those that this nvcc knows; it is asked at the first use, and once.
CUDA_ARCHS ?= $(eval CUDA_ARCHS := $(filter $(patsubst sm_%,%,$(shell $(NVCC) --list-gpu-code)),75 80 86 89 90 100 120))$(CUDA_ARCHS)
# Beside the tools, then where CUDA is installed by custom; the loader's own places come after these.
CUDA_RPATH ?= $$ORIGIN:$$ORIGIN/../lib:/usr/local/cuda/lib64

CUDA_HOME    = $(patsubst %/bin/,%,$(dir $(realpath $(NVCC))))
CUDA_NEWEST  = $(lastword $(CUDA_ARCHS))
CUDA_CODE    = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a,code=sm_$a) \
               -gencode arch=compute_$(CUDA_NEWEST),code=compute_$(CUDA_NEWEST)
CUDA_CXX_WARN = -Wall -Wextra -Wno-maybe-uninitialized $(if $(CI),-Werror)
CUDA_WARN    = -Xcompiler -Wall,-Wextra$(if $(CI),$(comma)-Werror) $(if $(CI),-Werror all-warnings)
CUDA_SOURCES = $(wildcard kernels/cuda/*.c kernels/plan/*.c) kernels/absence.c common/base/error.c common/base/text.c \
               common/model/network.c common/model/network_words.c
CUDA_OBJECTS = $(patsubst %.c,$B/cuda/%.o,$(CUDA_SOURCES)) \
               $(patsubst %.cu,$B/cuda/%.cu.o,$(wildcard kernels/cuda/*.cu))
comma := ,

ifneq ($(NVCC),)
CUDNN_THERE := $(shell echo '\#include <cudnn.h>' | $(CC) -isystem $(CUDA_HOME)/include -E -x c - >/dev/null 2>&1 \
                && echo yes)
cuda: $(if $(CUDNN_THERE),$(BIN)/backend-cuda.so)
	$(if $(CUDNN_THERE),,@echo "cuda: nvcc is here but cuDNN (cudnn.h) is not: no plug-in is built" >&2)
else
cuda:
	@echo "cuda: there is no nvcc on the PATH or in /usr/local/cuda/bin; set NVCC" >&2; exit 1
endif

$B/cuda/%.o: %.c | $B/ready
	@mkdir -p $(@D)
	$(call tell,CC,$<)
	$(Q)$(CC) $(filter-out -fopenmp,$(ALL_CFLAGS)) -O2 -fPIC -fvisibility=hidden \
		-isystem $(CUDA_HOME)/include -c -o $@ $<

$B/cuda/%.cu.o: %.cu | $B/ready
	@mkdir -p $(@D)
	$(call tell,NVCC,$<)
	$(Q)$(NVCC) -std=c++17 -O3 -lineinfo $(CUDA_CODE) $(CUDA_WARN) -Xcompiler -fPIC,-fvisibility=hidden \
		-MMD -MP -MF $(@:.o=.d) -c -o $@ $<

# The runtime is linked in and finds the driver by itself; the other libraries are shared ones, and where
# one is missing the plug-in does not load, which the tools report.
$(BIN)/backend-cuda.so: $(CUDA_OBJECTS)
	@mkdir -p $(@D)
	$(call tell,LD,$@)
	$(Q)$(NVCC) -shared -cudart static -o $@ $^ -lcudnn -lcublasLt -lcublas -lcusolver \
		-Xlinker -rpath -Xlinker '$(CUDA_RPATH)' -Xlinker --no-undefined -Xlinker --exclude-libs,ALL

# ---- the same on the CPU: target `emulated` --------------------------------------------------------------
# The plug-in's own sources with stand-ins for CUDA's headers and libraries (tests/gpu/emulated), for tests on
# machines without a GPU. No sanitizer: its threads change stacks, which sanitizers do not follow.
EMULATED_CXX    := $(shell command -v $(CXX))
EMULATED_FLAGS   = -O3 -g -fPIC -U_FORTIFY_SOURCE -Itests/gpu/emulated -DEMULATED -MMD -MP
EMULATED_SOURCES = $(wildcard tests/gpu/emulated/*.cc)
EMULATED_OBJECTS = $(CUDA_SOURCES:%.c=$B/emulated/%.o) $(EMULATED_SOURCES:%.cc=$B/emulated/%.o) \
                   $(patsubst %.cu,$B/emulated/%.cu.o,$(wildcard kernels/cuda/*.cu))
EMULATED_PLUGIN  = $B/emulated/backend-cuda.so

.PHONY: emulated
emulated: $(EMULATED_PLUGIN)
units: $(if $(EMULATED_CXX),emulated)

$B/emulated/%.o: %.c | $B/ready
	@mkdir -p $(@D)
	$(call tell,CC,$<)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE $(WARN) $(EMULATED_FLAGS) -c -o $@ $<
$B/emulated/%.cu.o: %.cu | $B/ready
	@mkdir -p $(@D)
	$(call tell,CXX,$<)
	$(Q)$(CXX) -std=c++17 $(CUDA_CXX_WARN) -Wno-unknown-pragmas $(EMULATED_FLAGS) -x c++ -c -o $@ $<
$B/emulated/%.o: %.cc | $B/ready
	@mkdir -p $(@D)
	$(call tell,CXX,$<)
	$(Q)$(CXX) -std=c++17 $(WARN) $(EMULATED_FLAGS) -c -o $@ $<
$(EMULATED_PLUGIN): $(EMULATED_OBJECTS)
	$(call tell,LD,$@)
	$(Q)$(CXX) -shared -o $@ $^ -lm
