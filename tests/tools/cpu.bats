#!/usr/bin/env bats
# What is compiled for more than one kind of processor.
load common

setup() { common_setup; }

# oneDNN and our own kernels take what $ONEDNN_MAX_CPU_ISA allows and the processor has.
@test "convolutions agree with the reference with AVX512, with AVX2 and without either" {
    for isa in $(grep -q avx512vl /proc/cpuinfo && echo AVX2) SSE41; do
        ONEDNN_MAX_CPU_ISA=$isa "$ROOT/$BUILD/tests/conformance" --device cpu --precision fp32 --only '*3x3x*'
    done
}
