#!/usr/bin/env bats
# onnx-read: networks of ONNX files; numpy is the judge of what they give (onnx.py).
load common

setup() {
    common_setup
    [ -x "$BIN/onnx-read" ] || skip "onnx-read is not built; it needs libonnx-dev, protobuf-c-compiler and libprotobuf-c-dev"
    need_python numpy msgpack msgpack_numpy
    make_cifar made.bin 12
    cifar-read made.bin >rows
}

# make NAME: the network as NAME.onnx, and what it gives for the pictures as NAME.npy.
make() {
    "$PYTHON" "$ROOT/tests/tools/onnx.py" "$1" "$1.onnx" rows "$1.npy"
}

# equal FIELD FILE NAME: the field of the records is what the network gives, to 1e-4 of it.
equal() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
rows = [r[sys.argv[1]] for r in msgpack.Unpacker(open(sys.argv[2], "rb"), object_hook=msgpack_numpy.decode) if sys.argv[1] in r]
got, want = np.concatenate(rows), np.load(sys.argv[3] + ".npy")
assert got.shape == want.shape, (got.shape, want.shape)
off = np.linalg.norm(got - want) / np.linalg.norm(want)
assert off < 1e-4, off
PYTHON
}

@test "embeddings are what the file's network gives" {
    for name in residual transformer flat strided standardised aggregated differences probed sliced wide; do
        make $name
        for device in cpu reference; do
            run -0 onnx-read --head layer --mean 0.4 --std 0.3 $name.onnx -o model --force
            [ -z "$output" ]
            embed --quiet --device $device --precision fp32 --model model rows >out
            equal embedding out $name
        done
    done
}

@test "a last dense layer is a head: scores are the file's, its classes base" {
    make residual
    seq 1 5 | sed 's/^/class /' >names
    onnx-read --classes names --mean 0.4 --std 0.3 residual.onnx >model
    run -0 tensor-info model
    [[ $output == *"softmax, dimension 21"* && $output == *"0  class 1 "*"base"* ]]
    embed --quiet --device cpu --precision fp32 --model model rows | classify --model model --device cpu --precision fp32 >out
    equal score out residual
    echo six >>names
    fails 1 "names has 6 names" onnx-read --classes names residual.onnx -o out2
    onnx-read residual.onnx | tensor-info | grep -q '4  4 .*base'
}

@test "others are imprinted beside them, and on a network without classes" {
    make residual
    onnx-read --mean 0.4 --std 0.3 residual.onnx >model
    embed --quiet --model model rows | class-filter --keep ship,cat >two
    imprint --quiet --model model two >seven
    tensor-info seven | grep -q 'classes: 7'
    onnx-read --head none --mean 0.4 --std 0.3 residual.onnx >bare
    tensor-info bare | grep -q 'dimension 21,'
    tensor-info bare | grep -q 'classes: 0'
    embed --quiet --model bare rows >embeddings
    imprint --quiet --model bare embeddings >made
    classify --model made embeddings | score | grep -q '^novel'
    fails 1 "no classes; imprint" classify --model bare embeddings -o out
}

@test "an embedding normalised at the end is one of its direction" {
    for name in unit unit1 unit2 unit3; do
        make $name
        run -0 onnx-read --mean 0.4 --std 0.3 $name.onnx -o model --force
        [[ $output == *"to length 1"* ]]
        tensor-info model | grep -q 'cosine, dimension 6,'
        embed --quiet --device cpu --precision fp32 --model model rows >longer
        "$PYTHON" - <<'PYTHON' >out
import sys, msgpack, msgpack_numpy, numpy as np
for r in msgpack.Unpacker(open("longer", "rb"), object_hook=msgpack_numpy.decode):
    if "embedding" in r:
        e = r["embedding"]
        assert np.ptp(np.linalg.norm(e, axis=1)) > 0.01
        sys.stdout.buffer.write(msgpack_numpy.packb({"embedding": e / np.linalg.norm(e, axis=1, keepdims=True)}))
PYTHON
        equal embedding out $name
    done
}

@test "cosines are a head's scores" {
    make cosines
    run -0 onnx-read --mean 0.4 --std 0.3 cosines.onnx -o model
    [ -z "$output" ]
    run -0 tensor-info model
    [[ $output == *"cosine, dimension 6"* && $output == *"classes: 4"* ]]
    embed --quiet --device cpu --precision fp32 --model model rows | classify --model model --device cpu >out
    equal score out cosines
    onnx-read --quiet --head none cosines.onnx | tensor-info | grep -q 'classes: 0'
    fails 1 "--head layer" onnx-read --head layer cosines.onnx -o out2
}

@test "the network is words, and how pictures are prepared goes with it" {
    make transformer
    onnx-read --head none --preset clip transformer.onnx >model
    run -0 tensor-info --all model
    [[ $output == *"attention:2"*"gelu"*"take:0-0"* ]]
    [[ $output == *"input/edge"*"224"* && $output == *"bicubic"* ]]
    [[ $output == *"normalize:0.48145"* ]]
}

@test "batch normalisation is folded, or kept for training" {
    make residual
    onnx-read --head none residual.onnx | tensor-info --all >folded
    run ! grep -q batchnorm folded
    onnx-read --head layer --keep-norms --mean 0.4 --std 0.3 residual.onnx >model
    tensor-info --all model | grep -q batchnorm
    embed --quiet --device cpu --precision fp32 --model model rows >out
    equal embedding out residual
    cnn-train --quiet --device cpu --init model --epochs 1 rows >trained
    tensor-info trained | grep -q 'classes: 10'
}

@test "--until cuts anywhere" {
    make transformer
    onnx-read --head none --until v4 transformer.onnx >model
    tensor-info model | grep -q 'dimension 780'
    fails 1 "no value nothing" onnx-read --until nothing transformer.onnx -o out
}

@test "what no network's text can say is named, and nothing is written" {
    make sine
    fails 1 "nodev1 (Sin)" onnx-read sine.onnx -o out
    make probes
    fails 1 "attention of several constant queries" onnx-read probes.onnx -o out
    make lengths
    fails 1 "weights of lengths from" onnx-read lengths.onnx -o out
    make shifted
    fails 1 "has length 1, which is possible at the end alone" onnx-read shifted.onnx -o out
    make tangled
    fails 1 "no branches within branches" onnx-read tangled.onnx -o out
    make scattered
    fails 1 "(Gather): it gathers by a table" onnx-read scattered.onnx -o out
    leaves_nothing out
}

@test "damaged files are refused, whatever was cut or changed" {
    make residual
    fails 1 "not an ONNX file" onnx-read rows -o out
    : >empty
    fails 1 "not an ONNX file" onnx-read empty -o out
    fails 1 "No such file" onnx-read nowhere.onnx -o out
    size=$(stat -c %s residual.onnx)
    for cut in 1 100 1000 $((size / 2)) $((size - 1)); do
        head -c "$cut" residual.onnx >cut.onnx
        run onnx-read cut.onnx -o out
        [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [ ! -e out ]
    done
    "$PYTHON" - <<'PYTHON'
import random
data = bytearray(open("residual.onnx", "rb").read())
random.seed(3)
for k in range(60):
    other = bytearray(data)
    for i in range(3): other[random.randrange(len(other))] = random.randrange(256)
    open(f"changed{k}.onnx", "wb").write(other)
PYTHON
    for file in changed*.onnx; do
        run onnx-read "$file" -o out --force
        [ "$status" -le 1 ] && [ "${#lines[@]}" -eq "$status" ]
    done
}

@test "wrong usage exits 2" {
    make flat
    local options
    for options in "" "a b" "--preset photos flat.onnx" "--mean 0.5 flat.onnx" "--mean 1,2 --std 1 flat.onnx" \
        "--std 0.5 flat.onnx" "--size 0 flat.onnx" "--head mean flat.onnx" "--head none --classes rows flat.onnx"; do
        # shellcheck disable=SC2086
        fails 2 "" onnx-read $options -o out
    done
}
