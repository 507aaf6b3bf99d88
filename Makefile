# make            builds bin/, and the CUDA plug-in where nvcc is found; V=1 shows the commands
# make help       these lines
# make demo       installs what is missing, builds, runs the main job on real pictures
# make low-shot   the protocol of examples/low-shot: minutes to hours
# make check      the tests                 SANITIZE=1: under the address and undefined-behaviour sanitizers
# make bench      the measurements, beside PyTorch
# make fuzz       every fuzzer              SECONDS=60 each
# make install    tools and pages           PREFIX=/usr/local DESTDIR=
# make deb        a Debian package, without the CUDA plug-in
# make uninstall  what install put there    PREFIX=/usr/local DESTDIR=
# make format     clang-format over the sources
# make clean      removes what was built

# ---- Debian's packages, named here and nowhere else ----------------------------------------------------
BUILD_PACKAGES = gcc libc6-dev libdnnl-dev libopenblas-openmp-dev libmsgpack-dev libjansson-dev zlib1g-dev libxxhash-dev
PICTURE_PACKAGES = libjpeg-dev libpng-dev libwebp-dev libarchive-dev
ONNX_PACKAGES  = libonnx-dev protobuf-c-compiler libprotobuf-c-dev
ARRAY_PACKAGES = libarchive-dev
SHEET_PACKAGES = libpango1.0-dev
# What unpacks CIFAR-10 where ../shared/data has it needs xz and libjpeg.
UNPACK_PACKAGES = $(if $(wildcard ../shared/data/unpack-cifar10),xz-utils libjpeg-dev)
FASHION_PACKAGES = dataset-fashion-mnist
DATA_PACKAGES  = $(FASHION_PACKAGES) $(UNPACK_PACKAGES)
DEMO_PACKAGES  = $(BUILD_PACKAGES) $(if $(CIFAR10),,$(or $(UNPACK_PACKAGES),curl ca-certificates))
CHECK_PACKAGES = $(BUILD_PACKAGES) $(PICTURE_PACKAGES) $(ONNX_PACKAGES) $(ARRAY_PACKAGES) $(SHEET_PACKAGES) $(DATA_PACKAGES) libcmocka-dev bats clang-format mandoc jq bsdutils gnuplot-nox \
                 python3-numpy python3-msgpack-numpy python3-xxhash python3-pil python3-sklearn parallel miller \
                 slurmctld slurmd slurm-client munge
EXAMPLE_PACKAGES = $(BUILD_PACKAGES) $(DATA_PACKAGES) jq gawk gnuplot-nox parallel
BENCH_PACKAGES = $(BUILD_PACKAGES) $(DATA_PACKAGES) python3-numpy python3-torch
FUZZ_PACKAGES  = $(BUILD_PACKAGES) $(PICTURE_PACKAGES) $(ONNX_PACKAGES) $(ARRAY_PACKAGES) clang libclang-rt-dev

# ---- settings ------------------------------------------------------------------------------------------
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' src/changelog)
NVCC   ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))

B   = build
BIN = bin
ifdef SANITIZE
B      = build-sanitize
BIN    = bin-sanitize
CFLAGS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
NVCC   =
endif

WARN = -Wall -Wextra -Wpedantic $(if $(CI),-Werror)
# Hardened as Debian's packages are; who sets a level of _FORTIFY_SOURCE, or none by -O0, keeps it.
BRANCHES := $(firstword $(foreach flag,-fcf-protection -mbranch-protection=standard,\
              $(if $(shell $(CC) $(flag) -E -x c /dev/null >/dev/null 2>&1 && echo yes),$(flag))))
HARDEN = $(if $(SANITIZE),,-fstack-protector-strong $(BRANCHES) $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS))$(filter \
           -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3))
# No path of the machine stays in a binary: two builds in two folders give the same bytes.
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -ffile-prefix-map=$(CURDIR)=. -DVERSION='"$(VERSION)"' -fopenmp -fno-math-errno \
             -MMD -MP $(WARN) $(HARDEN) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(CFLAGS) -fopenmp $(if $(SANITIZE),,-Wl,-z,relro -Wl,-z,now) $(LDFLAGS)
# msgpack's C library was renamed between Debian 12 and 13.
MSGPACK = $(shell echo 'int main(void){return 0;}' | $(CC) -x c - -lmsgpackc -o /dev/null 2>/dev/null \
            && echo -lmsgpackc || echo -lmsgpack-c)
# image-read and image-write alone need the libraries of PICTURE_PACKAGES; the rest builds without them.
PICTURES := $(shell printf '\043include <%s>\n' stdio.h jpeglib.h png.h webp/decode.h archive.h | \
              $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
# onnx-read and onnx-write alone need ONNX_PACKAGES: protoc-c makes C of libonnx-dev's description of the files.
ONNX_PROTO := $(wildcard /usr/include/onnx/onnx.proto)
ONNX := $(and $(ONNX_PROTO),$(shell command -v protoc-c),$(shell echo '\043include <protobuf-c/protobuf-c.h>' | \
          $(CC) -E -x c - >/dev/null 2>&1 && echo yes))
# npy-read and npy-write alone need ARRAY_PACKAGES.
ARRAYS := $(shell echo '\043include <archive.h>' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
# image-sheet alone needs SHEET_PACKAGES.
SHEETS := $(shell pkg-config --exists pangocairo 2>/dev/null && echo yes)
LIBS   := $(if $(SHEETS),$(shell pkg-config --libs pangocairo)) $(if $(ARRAYS),-larchive) $(if $(PICTURES),-ljpeg -lpng -lwebp) $(if $(ONNX),-lprotobuf-c) -ldnnl -lopenblas -ljansson $(MSGPACK) -lxxhash -lz -lm -ldl -lpthread

NEED_MORE = $(if $(PICTURES),,src/image-read.c src/image-write.c tests/fuzz/picture.c tests/fuzz/tar.c \
                  $(patsubst %,common/formats/%.c,picture picture_loader picture_tar encode jpeg png webp pnm)) \
                $(if $(ARRAYS),,src/npy-read.c src/npy-write.c tests/fuzz/npy.c common/formats/npy.c common/formats/safetensors.c) \
                $(if $(SHEETS),,src/image-sheet.c common/formats/page.c) \
                $(if $(ONNX),,src/onnx-read.c src/onnx-write.c $(wildcard src/exporting/*.c) tests/fuzz/onnx.c $(wildcard common/formats/onnx*.c))
TOOLS   = $(patsubst src/%.c,$(BIN)/%,$(filter-out $(NEED_MORE),$(wildcard src/*.c)))
PAGES   = $(wildcard src/*.1 src/*.5)
COMMON  = $(patsubst %.c,$B/%.o,$(filter-out $(NEED_MORE),$(wildcard common/*/*.c)))
PARTS   = $(patsubst %.c,$B/%.o,$(filter-out $(NEED_MORE),$(wildcard src/*/*.c)))
# Of kernels/cuda, what is tested without CUDA.
CUDA_PLAIN = kernels/cuda/choices.c kernels/cuda/places.c
KERNELS = $(patsubst %.c,$B/%.o,$(wildcard kernels/*.c kernels/plan/*.c kernels/reference/*.c kernels/cpu/*.c) \
            $(CUDA_PLAIN))
UNITS   = $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/*.c))
FUZZERS = $(patsubst tests/fuzz/%.c,build-fuzz/%,$(filter-out $(NEED_MORE),$(wildcard tests/fuzz/*.c)))

# Where no number of jobs is given, building takes all cores; two jobs more keep it a share of a busy machine.
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS))$(filter-out all cuda units install,$(MAKECMDGOALS)),)
MAKEFLAGS += -j$(shell expr $$(nproc) + 2)
endif
# $(call tell,CC,file): one short line in place of the command; both with V=1.
Q    = $(if $(V),,@)
tell = @printf '  %-5s %s\n' $(1) $(2)

.PHONY: all help cuda units demo low-shot check bench fuzz install uninstall deb format clean
all: $(TOOLS) $(BIN)/lowshot $(if $(NVCC),cuda)
	$(if $(PICTURES),,@echo "image-read and image-write are not built; they need $(PICTURE_PACKAGES)" >&2)
	$(if $(ARRAYS),,@echo "npy-read and npy-write are not built; they need $(ARRAY_PACKAGES)" >&2)
	$(if $(SHEETS),,@echo "image-sheet is not built; it needs $(SHEET_PACKAGES)" >&2)
	$(if $(ONNX),,@echo "onnx-read and onnx-write are not built; they need $(ONNX_PACKAGES)" >&2)

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# $(call probe,HEADERS,LIBRARIES,PACKAGES): whether a program of them compiles and links. It is asked once, before
# anything is built: what is missing is named, and the line that installs it, not a compiler's first error.
define probe
	@mkdir -p $(@D)
	@{ printf '#include <%s>\n' $(1); echo 'int main(void) { return 0; }'; } >$@.c
	@$(CC) -o $@.out $@.c $(2) 2>$@.log || { .ci/packages --tell $(3) && cat $@.log >&2; exit 1; }
	@touch $@
endef
$B/ready:
	$(call probe,dnnl.h cblas.h msgpack.h jansson.h xxhash.h zlib.h,$(LIBS),$(BUILD_PACKAGES))
$B/ready-units: | $B/ready
	$(call probe,stdarg.h stddef.h stdint.h setjmp.h cmocka.h,-lcmocka,libcmocka-dev)

# ---- tools ---------------------------------------------------------------------------------------------
$B/%.o: %.c | $B/ready
	@mkdir -p $(@D)
	$(call tell,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<
# The CPU kernels' plain loops are the ones worth vectorising. Of what becomes of them a debugger shows lines, but no
# variables, whose places took a fifth of the compiler's time.
ifndef SANITIZE
$B/kernels/%.o: CFLAGS += -O3 $(if $(filter file,$(origin CFLAGS)),-g1)
endif

$B/common/formats/page.o: CPPFLAGS += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I pangocairo))

# What protoc-c writes is not ours: no warnings of it.
$B/onnx/onnx.pb-c.c: $(ONNX_PROTO)
	@mkdir -p $(@D)
	$(call tell,PROTO,$<)
	$(Q)protoc-c --proto_path=$(<D) --c_out=$(@D) $<
$B/onnx/onnx.pb-c.o: $B/onnx/onnx.pb-c.c
	$(call tell,CC,$<)
	$(Q)$(CC) $(filter-out -W%,$(ALL_CFLAGS)) -w -c -o $@ $<
$(patsubst %.c,$B/%.o,$(wildcard common/formats/onnx*.c)): CPPFLAGS += -isystem $B/onnx
$(patsubst %.c,$B/%.o,$(wildcard common/formats/onnx*.c)): | $B/onnx/onnx.pb-c.c

$B/libcommon.a: $(COMMON) $(if $(ONNX),$B/onnx/onnx.pb-c.o)
$B/libparts.a: $(PARTS)
$B/libkernels.a: $(KERNELS)
$B/lib%.a:
	@rm -f $@
	$(call tell,AR,$@)
	$(Q)$(AR) rcs $@ $^

# A tool that calls no kernel takes nothing from libkernels.a and so links no library of it.
$(BIN)/%: $B/src/%.o $B/libparts.a $B/libcommon.a $B/libkernels.a
	@mkdir -p $(@D)
	$(call tell,LD,$@)
	$(Q)$(LINK) -o $@ $< $B/libparts.a $B/libkernels.a $B/libcommon.a -Wl,--as-needed $(LIBS)

# ---- the CUDA plug-in: target `cuda` ---------------------------------------------------------------------
-include kernels/cuda/build.mk

# ---- demo and tests --------------------------------------------------------------------------------------
# .ci/packages installs what is missing where it may, else prints the line that does.
.PHONY: fashion-mnist
fashion-mnist:
	@.ci/packages $(FASHION_PACKAGES)
demo:
	@.ci/packages $(DEMO_PACKAGES)
	@$(MAKE) --no-print-directory all
	@examples/demo.sh

# The protocol of examples/low-shot on CIFAR-10 and Fashion-MNIST; CIFAR10=DIR as for the demo.
low-shot:
	@.ci/packages $(EXAMPLE_PACKAGES)
	@$(MAKE) --no-print-directory all
	$(MAKE) -C examples/low-shot
	$(MAKE) -C examples/low-shot BASE=0-4 NOVEL=5-9
	$(MAKE) -C examples/low-shot DATA=fashion

check:
	@.ci/packages $(CHECK_PACKAGES)
	@$(MAKE) --no-print-directory all units
	@BUILD=$B BIN=$(BIN) tests/run

units: $(UNITS)
$(UNITS:$B/tests/%=$B/tests/unit/%.o): | $B/ready-units
$B/tests/%: $B/tests/unit/%.o $B/libparts.a $B/libcommon.a $B/libkernels.a
	@mkdir -p $(@D)
	$(call tell,LD,$@)
	$(Q)$(LINK) -o $@ $< $B/libparts.a $B/libkernels.a $B/libcommon.a -Wl,--as-needed -lcmocka $(LIBS)
$B/bench/%: $B/tests/bench/%.o $B/libcommon.a $B/libkernels.a
	@mkdir -p $(@D)
	$(call tell,LD,$@)
	$(Q)$(LINK) -o $@ $< $B/libkernels.a $B/libcommon.a -Wl,--as-needed $(LIBS)

$B/gpu/%: $B/tests/gpu/%.o $B/libcommon.a $B/libkernels.a
	@mkdir -p $(@D)
	$(call tell,LD,$@)
	$(Q)$(LINK) -o $@ $< $B/libkernels.a $B/libcommon.a -Wl,--as-needed $(LIBS)

bench:
	@.ci/packages $(BENCH_PACKAGES)
	@$(MAKE) --no-print-directory all
	@BIN=$(BIN) tests/bench/run

SECONDS ?= 60
fuzz:
	@.ci/packages $(FUZZ_PACKAGES)
	@$(MAKE) --no-print-directory $(FUZZERS)
	@SECONDS_EACH=$(SECONDS) tests/fuzz/run $(FUZZERS)
# What a fuzzer works on beside common.
build-fuzz/imprinting: FUZZED = $(wildcard src/imprinting/*.c kernels/reference/*.c)
build-fuzz/checkpoint: FUZZED = src/training/checkpoint.c src/training/best_epoch.c
build-fuzz/network:    FUZZED = $(wildcard kernels/plan/*.c)
build-fuzz/runs:       FUZZED = $(wildcard src/scoring/*.c)
build-fuzz/%: tests/fuzz/%.c $(wildcard common/*/*.[ch] src/*/*.[ch] kernels/*/*.[ch]) $(if $(ONNX),$B/onnx/onnx.pb-c.c)
	@mkdir -p $(@D)
	$(call tell,FUZZ,$@)
	$(Q)clang -std=c17 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -isystem $B/onnx -o $@ $< $(FUZZED) $(if $(ONNX),$B/onnx/onnx.pb-c.c) \
		$(filter-out $(NEED_MORE) common/formats/page.c,$(wildcard common/*/*.c)) $(filter-out -ldnnl -lopenblas,$(LIBS))

# ---- the rest --------------------------------------------------------------------------------------------
# What stands in for @TOOLS@ and @VERSION@.
FILL = sed 's/@TOOLS@/$(sort $(notdir $(TOOLS)))/; s/@VERSION@/$(VERSION)/'
$(BIN)/lowshot: src/lowshot src/changelog Makefile | $B/ready
	@mkdir -p $(@D)
	$(Q)$(FILL) $< >$@ && chmod +x $@

# Everything that is installed, by folder below PREFIX.
PLACE = "$(DESTDIR)$(PREFIX)"
install: all
	$(call tell,INST,$(PLACE))
	$(Q)for d in bin lib/lowshot share/man/man1 share/man/man5 $(COMPLETIONS); do install -d $(PLACE)/$$d || exit; done
	$(Q)install $(TOOLS) $(BIN)/lowshot $(PLACE)/bin
	$(Q)for f in $(wildcard $(BIN)/*.so); do install -m 644 $$f $(PLACE)/lib/lowshot || exit; done
	$(Q)install -m 644 $(filter %.1,$(PAGES)) $(PLACE)/share/man/man1
	$(Q)install -m 644 $(filter %.5,$(PAGES)) $(PLACE)/share/man/man5
	$(Q)$(FILL) src/completion.bash >$(PLACE)/share/bash-completion/completions/lowshot
	$(Q)for t in $(notdir $(TOOLS)); do ln -sf lowshot $(PLACE)/share/bash-completion/completions/$$t || exit; done
	$(Q)echo '#compdef $(sort $(notdir $(TOOLS)))\n_gnu_generic "$$@"' >$(PLACE)/share/zsh/vendor-completions/_lowshot
COMPLETIONS = share/bash-completion/completions share/zsh/vendor-completions
uninstall:
	$(Q)cd $(PLACE) && rm -f $(patsubst %,bin/%,$(notdir $(TOOLS)) lowshot) lib/lowshot/backend-*.so \
	    $(patsubst src/%.1,share/man/man1/%.1,$(filter %.1,$(PAGES))) \
	    $(patsubst src/%.5,share/man/man5/%.5,$(filter %.5,$(PAGES))) \
	    $(patsubst %,share/bash-completion/completions/%,$(notdir $(TOOLS)) lowshot) \
	    share/zsh/vendor-completions/_lowshot
	-$(Q)rmdir $(PLACE)/lib/lowshot 2>/dev/null

# A Debian package of what is built.
deb: all
	@.ci/packages dpkg-dev
	@rm -rf $B/deb
	@$(MAKE) --no-print-directory -o all install DESTDIR=$B/deb/root PREFIX=/usr
	$(Q)src/deb.sh $B/deb/root $(VERSION) $B/lowshot_$(VERSION).deb
	@echo $B/lowshot_$(VERSION).deb

format:
	@.ci/packages clang-format
	clang-format -i $(shell git ls-files '*.c' '*.h' '*.cu' '*.cuh')
clean:
	rm -rf build build-* bin bin-*

# Kept, though only chains of rules name them. All others are not secondary: an archive that lacks one is made anew.
.SECONDARY: $(patsubst %.c,$B/%.o,$(wildcard src/*.c tests/*/*.c))
-include $(shell find $B -name '*.d' 2>/dev/null)
