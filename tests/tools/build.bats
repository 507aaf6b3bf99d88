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

@test "without -j building takes all cores, with it what was said" {
    flags() { "${build[@]}" -pn "$@" 2>/dev/null | grep '^MAKEFLAGS' || true; }
    [[ $(flags) == *" -j$(nproc) "* ]]
    [[ $(flags all units) == *" -j$(nproc) "* ]]
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
    plan=$(make -C "$ROOT" -n -B NVCC= V=1 bin/score CPPFLAGS=-D_FORTIFY_SOURCE=3 LDFLAGS=-Wl,-z,noexecstack AR=my-ar)
    grep -q -- ' -D_FORTIFY_SOURCE=3 .*-c -o build/src/score.o' <<<"$plan"
    run ! grep -q -- '-D_FORTIFY_SOURCE=2' <<<"$plan"
    grep -q -- '-Wl,-z,now -Wl,-z,noexecstack -o bin/score' <<<"$plan"
    grep -q '^my-ar rcs build/libcommon.a' <<<"$plan"
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
