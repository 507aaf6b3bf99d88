#!/usr/bin/env bats
# The Makefile as its user meets it: what it tells, and what it says where something is missing.
load common

setup() {
    common_setup
    build=(make --no-print-directory -C "$ROOT" NVCC= "B=$PWD/b" "BIN=$PWD/bin")
    unset MAKEFLAGS MAKELEVEL MFLAGS CI
}

@test "make help has a line for every target" {
    run -0 "${build[@]}" help
    targets=$(sed -n 's/^\.PHONY: all help cuda units //p' "$ROOT"/Makefile)
    [ -n "$targets" ]
    for target in $targets help; do
        printf '%s\n' "${lines[@]}" | grep -Eq "^make $target  +[^ ]" || { echo "$target is not there"; return 1; }
    done
}

@test "a file is one short line, with V=1 the command" {
    run -0 "${build[@]}" "$PWD/b/common/base/error.o"
    [ "$output" = "  CC    common/base/error.c" ]
    rm b/common/base/error.o
    run -0 "${build[@]}" V=1 "$PWD/b/common/base/error.o"
    [[ $output == *"-std=c17"*" -c -o $PWD/b/common/base/error.o common/base/error.c" ]]
}

@test "a library that comes later is built with: nothing of the first build hides it" {
    printf '#include <%s>\n' stdio.h jpeglib.h png.h webp/decode.h archive.h | cc -E -x c - >/dev/null 2>&1 ||
        skip "needs the libraries of pictures"
    "${build[@]}" PICTURES= ARRAYS= "$PWD/b/libcommon.a" >/dev/null
    ar t b/libcommon.a >before
    ! grep -qx picture_tar.o before
    "${build[@]}" "$PWD/b/libcommon.a" >/dev/null
    ar t b/libcommon.a >after
    grep -qx picture_tar.o after && grep -qx npy.o after && grep -qx tool.o after
    run -0 "${build[@]}" -q "$PWD/b/libcommon.a"
}

@test "flags and compilers that people build with: no warning, also for the processor at hand" {
    files=(common/base/tool common/formats/resample common/stream/read src/score kernels/cpu/elementwise
        kernels/cpu/first_conv_avx{2,512} kernels/cpu/winograd_avx{2,512})
    [ ! -e /usr/include/archive.h ] || files+=(common/formats/npy)
    objects() { printf "$PWD/$1/%s.o\n" "${files[@]}"; }
    n=0
    for flags in "-O3 -march=native" "-O3 -march=x86-64-v4" "-O2 -march=x86-64-v3" "-O0" "-Os"; do
        [[ $flags != *x86-64* || $(uname -m) = x86_64 ]] || continue
        n=$((n + 1))
        # shellcheck disable=SC2046
        "${build[@]}" CI=1 "B=$PWD/b$n" "CFLAGS=$flags" $(objects b$n) >/dev/null
    done
    command -v clang || skip "needs clang"
    echo '#include <omp.h>' | clang -fopenmp -E - >/dev/null 2>&1 || skip "clang has no OpenMP here"
    # shellcheck disable=SC2046
    "${build[@]}" CI=1 CC=clang "B=$PWD/bc" $(objects bc) >/dev/null
}

@test "musl's C library and another processor: no warning" {
    # The libraries' headers are the same everywhere: by themselves, without those of this machine's C library.
    mkdir headers
    for header in msgpack msgpack.h zlib.h zconf.h jansson.h jansson_config.h xxhash.h cblas.h openblas_config.h dnnl.h \
        dnnl_config.h dnnl_types.h dnnl_version.h oneapi; do
        for place in /usr/include "/usr/include/$(gcc -print-multiarch)" "/usr/include/$(gcc -print-multiarch)/openblas-openmp"; do
            [ ! -e "$place/$header" ] || ln -sf "$place/$header" headers
        done
    done
    n=0
    compiles() { # COMPILER FILE...
        command -v "$1" >/dev/null || return 0
        n=$((n + 1))
        mkdir -p "b$n"
        touch "b$n/ready" # the libraries themselves are this machine's
        "${build[@]}" -j"$(nproc)" CI=1 CC="$1" CFLAGS=-O0 CPPFLAGS="-isystem $PWD/headers" "B=$PWD/b$n" "${@:2}" >/dev/null
    }
    objects() { printf "$PWD/b$1/%s\n" "${@:2}" | sed 's/c$/o/'; }
    pushd "$ROOT" >/dev/null
    plain=(common/base/*.c common/stream/*.c common/model/*.c src/{cifar-read,class-filter,idx-read,row-filter,score,tensor-info}.c
        src/scoring/*.c kernels/plan/*.c kernels/reference/*.c)
    all=("${plain[@]}" src/{imprint,classify,embed,cnn-train}.c src/imprinting/*.c src/training/*.c kernels/*.c kernels/cpu/*.c)
    popd >/dev/null
    # shellcheck disable=SC2046
    compiles musl-gcc $(objects 1 "${plain[@]}")
    # shellcheck disable=SC2046
    compiles aarch64-linux-gnu-gcc $(objects $((n + 1)) "${all[@]}")
    [ $n -gt 0 ] || skip "needs musl-gcc or aarch64-linux-gnu-gcc"
}

@test "without -j building takes all cores, with it what was said" {
    flags() { "${build[@]}" -pn "$@" 2>/dev/null | grep '^MAKEFLAGS' || true; }
    jobs=$(($(nproc) + 2))
    [[ $(flags) == *" -j$jobs "* ]]
    [[ $(flags all units) == *" -j$jobs "* ]]
    [[ $(flags -j7) == *" -j7 "* ]]
    [[ $(flags help) != *" -j"* ]]
}

@test "what is missing is named with the lines that install it, and nothing is installed" {
    mkdir fake
    printf '#!/bin/sh\nexit 1\n' >fake/dpkg-query
    printf '#!/bin/sh\ntouch %s/installed\n' "$PWD" >fake/apt-get
    chmod +x fake/*
    for target in all install units; do
        PATH=$PWD/fake:$PATH run -2 "${build[@]}" CC=no-compiler -j2 "$target"
        echo "$output"
        [[ $output == *"apt-get update &&"*"apt-get install -y --no-install-recommends gcc libc6-dev libdnnl-dev "*zlib1g-dev* ]]
        [[ $output != *"not found"* ]] && [[ $output != *"  CC "* ]]
    done
    [ ! -e installed ] && [ ! -e bin ]
    # Where all packages are there, what the compiler says.
    printf '#!/bin/sh\necho installed\n' >fake/dpkg-query
    PATH=$PWD/fake:$PATH run -2 "${build[@]}" CC=no-compiler all
    [[ $output == *"no-compiler"*"not found"* ]]
}

@test "the tree installs, tools and pages" {
    run -0 make --no-print-directory -C "$ROOT" NVCC= "BIN=$BIN" "B=${BUILD:-build}" -o all install DESTDIR="$PWD/d" PREFIX=/p
    [ -x d/p/bin/cifar-read ] && [ -x d/p/bin/score ]
    cmp "$ROOT"/src/lowshot.1 d/p/share/man/man1/lowshot.1
    cmp "$ROOT"/src/tensor-stream.5 d/p/share/man/man5/tensor-stream.5
}

@test "flags of packagers reach the compiler, the linker and the archiver" {
    plan=$(make -C "$ROOT" -n -B NVCC= V=1 bin/score CPPFLAGS=-D_FORTIFY_SOURCE=2 LDFLAGS=-Wl,-z,noexecstack AR=my-ar)
    grep -q -- ' -D_FORTIFY_SOURCE=2 .*-c -o build/src/score.o' <<<"$plan"
    run ! grep -q -- '-D_FORTIFY_SOURCE=3' <<<"$plan"
    grep -q -- '-Wl,-z,now -Wl,-z,noexecstack -o bin/score' <<<"$plan"
    grep -q '^my-ar rcs build/libcommon.a' <<<"$plan"
}

@test "the tools are hardened as a Debian package is" {
    need_no_sanitizer
    # What a linker and a compiler leave behind: relocations read-only from the start, guarded stacks, checked copies.
    readelf -dlW "$BIN/score" >elf
    grep -q 'GNU_RELRO' elf
    grep -qE 'BIND_NOW|Flags:.* NOW' elf
    grep -qE 'Type: +DYN|\(FLAGS_1\).*PIE' elf
    nm -D "$BIN/score" >symbols
    grep -q '__stack_chk_fail' symbols
    grep -qE '__[a-z]+_chk' symbols
    # Branches go to marked places alone, where the compiler marks them (the C library's own beginnings do not).
    object=${BUILD:-build}/src/score.o
    cd "$ROOT"
    [ "$(uname -m)" != x86_64 ] || readelf -nW "$object" | grep -q 'IBT, SHSTK'
}

@test "installing into a folder with a space in its name" {
    make -C "$ROOT" -n -o all NVCC= V=1 install DESTDIR="$PWD/dest dir" PREFIX=/usr | grep -E '^(install|for)' >recipe
    mkdir bin
    cp "$BIN"/* bin/
    cp -r "$ROOT"/src .
    sh -e recipe
    [ -x "dest dir/usr/bin/score" ] && [ -e "dest dir/usr/share/man/man1/score.1" ]
    [ ! -e dest ]
}

@test "uninstall takes away all that install brought" {
    installing=(make --no-print-directory -C "$ROOT" NVCC= "BIN=$BIN" "B=${BUILD:-build}" -o all DESTDIR="$PWD/a b" PREFIX=/p)
    "${installing[@]}" install
    [ -L "a b/p/share/bash-completion/completions/score" ] && [ -x "a b/p/bin/lowshot" ]
    [ "$(head -c 12 "a b/p/share/zsh/vendor-completions/_lowshot")" = "#compdef cif" ]
    touch "a b/p/bin/another"
    "${installing[@]}" uninstall
    [ "$(find "a b" ! -type d)" = "a b/p/bin/another" ]
}

@test "lowshot TOOL is the tool" {
    make --no-print-directory -C "$ROOT" NVCC= "BIN=$BIN" "B=${BUILD:-build}" -o all install DESTDIR="$PWD/d" PREFIX=/p
    ln -s d/p/bin/lowshot here
    ./here score --help | cmp - <("$BIN"/score --help)
    ./here --help | grep -qx '  embed'
    [ "$(./here --version)" = "lowshot $("$BIN"/score --version | grep -o '[0-9.]*$')" ]
    run -2 ./here scores
    [ "$output" = "lowshot: no tool 'scores'; lowshot --help lists them" ]
}

@test "completion in bash: tools, options, and an option's words" {
    make --no-print-directory -C "$ROOT" NVCC= "BIN=$BIN" "B=${BUILD:-build}" -o all install DESTDIR="$PWD/d" PREFIX=/p
    . d/p/share/bash-completion/completions/score
    PATH=$PWD/d/p/bin:$PATH
    completes() { # WANTED WORD...
        local wanted=$1
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _lowshot "$1"
        [ "${COMPREPLY[*]}" = "$wanted" ] || { echo "$*: ${COMPREPLY[*]}"; return 1; }
    }
    completes "--layout" embed --lay
    completes "hwc chw" embed --layout ""
    completes "auto cpu cuda cuda:N reference" embed --device ""
    completes "bf16" embed --model x --precision b
    completes "class-filter classify" lowshot cl
    completes "records tsv jsonl" lowshot classify --format ""
    touch some.model
    completes "some.model" embed --model some
    completes "some.model" embed some
}

@test "a Debian package holds what install brings" {
    command -v dpkg-shlibdeps >/dev/null || skip "dpkg-dev is not installed"
    make --no-print-directory -C "$ROOT" NVCC= "BIN=$BIN" "B=${BUILD:-build}" -o all install DESTDIR="$PWD/deb/root" PREFIX=/usr
    DEBFULLNAME="A Person" DEBEMAIL=a@b.org "$ROOT"/src/deb.sh deb/root 1.2 package.deb
    dpkg-deb -c package.deb >list
    grep -q './usr/bin/score$' list && grep -q './usr/share/man/man5/tensor-stream.5.gz$' list
    run ! grep -q 'backend-cuda' list
    dpkg-deb -f package.deb >control
    grep -q '^Depends: .*libjansson4' control && grep -qx 'Version: 1.2' control && grep -qx 'Maintainer: A Person <a@b.org>' control
}

@test "no path of the machine is in the tools" {
    [ "$(basename "$BIN")" = bin ] || skip "tools with sanitizers have paths"
    for tool in score tensor-info embed; do
        run ! grep -qF "$ROOT/common" "$BIN/$tool"
    done
}
