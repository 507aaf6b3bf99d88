#!/usr/bin/env bats
# What is compiled for more than one kind of processor.
load common

setup() { common_setup; }

# oneDNN and our own kernels take what $ONEDNN_MAX_CPU_ISA allows and the processor has.
@test "convolutions agree with the reference with AVX512, with AVX2 and without either" {
    for isa in $(grep -q avx512vl /proc/cpuinfo && echo AVX2) SSE41; do
        ONEDNN_MAX_CPU_ISA=$isa "$ROOT/${BUILD:-build}/tests/conformance" --device cpu --precision fp32 --only '*3x3x*'
    done
}

# What the libraries take as they are loaded, for the first product, and while they compute.
@test "address space that ends anywhere: the result, or one line" {
    need_no_sanitizer
    make_cifar pictures.bin 80
    cifar-read pictures.bin >rows
    cnn-train --quiet --device cpu --epochs 1 --statistics rows >model
    embed --quiet --device cpu --model model rows >embeddings
    for limit in $(seq 100000 100000 900000); do
        for line in "imprint --version" "cnn-train --epochs 1 rows" "embed --model model rows" "imprint embeddings" \
            "imprint --method ridge embeddings" "classify --model model embeddings"; do
            # shellcheck disable=SC2086
            (ulimit -v "$limit" && timeout 60 $line >out 2>said) && continue
            [ $? -eq 1 ] && [ "$(grep -c '' said)" -eq 1 ] && grep -q 'memory' said || { echo "$limit $line: $(cat said)"; false; }
        done
    done
}
