#!/usr/bin/env bats
# onnx-write: models as ONNX files; numpy is the judge of what they give (onnx_run.py).
load common

setup() {
    common_setup
    [ -x "$BIN/onnx-write" ] || skip "onnx-write is not built; it needs libonnx-dev, protobuf-c-compiler and libprotobuf-c-dev"
    need_python numpy msgpack msgpack_numpy
    make_cifar made.bin 40
    cifar-read made.bin >rows
}

# untrained WORDS: a model of that network, as it begins, but the norms' statistics.
untrained() {
    printf '%s\n' "$1" >text
    cnn-train --quiet --device cpu --precision fp32 --epochs 1 --rate 0 --statistics --arch @text rows >model
}

# equal FIELD RECORDS INPUT: the field of the records is what the file `written` gives of the input, to 1e-5 of it.
equal() {
    "$PYTHON" "$ROOT/tests/tools/onnx_run.py" written "$3" given.npz
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
rows = [r[sys.argv[1]] for r in msgpack.Unpacker(open(sys.argv[2], "rb"), object_hook=msgpack_numpy.decode) if sys.argv[1] in r]
want, got = np.concatenate(rows), np.load("given.npz")[sys.argv[1]]
assert got.shape == want.shape, (got.shape, want.shape)
off = np.linalg.norm(got - want) / np.linalg.norm(want)
assert off < 1e-5, off
PYTHON
}

by_model() { # FIELD: the field of `rows` by the model, to `out`
    embed --quiet --device cpu --precision fp32 --model model rows >embeddings
    [ "$1" = embedding ] || classify --quiet --device cpu --precision fp32 --model model embeddings >out
}

# Every word of a network's text is in one of these.
@test "the graph's embeddings are the network's" {
    local text
    for text in \
        "scale:2" \
        "conv:3x3x8:same relu conv:3x3x6:nobias clip:0,0.5 maxpool:2 dropout:0.5 dense:20 leakyrelu:0.1 dense:9" \
        "normalize:0.4,0.5,0.6:0.2,0.3,0.4 conv:3x5x8:stride=2x1:pad=1,2,0,1 batchnorm silu conv:3x3x8:groups=8:dilation=2:pad=2 sigmoid scale:3 maxpool:3:stride=2:pad=1:ceil conv:1x1x12:groups=4 shuffle:4 channels:2-9 affine avgpool:3:stride=2:pad=1 hardswish" \
        "conv:3x3x6:stride=2 avgpool:3:stride=2:pad=1:ceil:within save conv:1x1x6 hardsigmoid avgpool | multiply tanhgelu avgpool:3:stride=2:pad=1:ceil maxpool:all" \
        "conv:4x4x12:stride=4 save maxpool:3:stride=1:pad=1 | conv:3x3x5:same | avgpool:3:stride=1:pad=1 gelu concat layernorm:0.001 save conv:1x1x29 add avgpool" \
        "conv:4x4x12:stride=4 tokens:2 position save layernorm conv:1x1x36 attention:3 conv:1x1x12 affine add save layernorm conv:1x1x24 gelu conv:1x1x12 add layernorm take:0-1 tokens:0 position"; do
        untrained "$text"
        onnx-write --embedding model >written
        by_model embedding
        equal embedding embeddings rows
    done
}

@test "its scores are the model's, by every head and method" {
    untrained "conv:5x5x8:stride=3 relu avgpool"
    onnx-write model >written
    by_model score
    equal score out rows
    mv rows all
    class-filter --keep 0-7 all >rows
    untrained "conv:5x5x8:stride=3 relu avgpool"
    mv model base
    mv all rows
    embed --quiet --model base rows | class-filter --keep ship,truck >shots
    local method
    for method in auto mean "proxies --proxies 1" ridge; do
        # shellcheck disable=SC2086
        imprint --quiet --model base --method $method shots >model
        onnx-write model >written
        by_model score
        equal score out rows
    done
    "$PYTHON" -c "
import json, numpy as np
given = np.load('given.npz')
meta = json.loads(str(given['meta']))
assert json.loads(meta['classes'])[-2:] == ['ship', 'truck'], meta
e = np.exp(given['score'] - given['score'].max(1, keepdims=True))
assert np.abs(e / e.sum(1, keepdims=True) - given['probability']).max() < 1e-6"
    echo 'conv:3x3x4 avgpool' >text
    cnn-train --quiet --device cpu --precision fp32 --epochs 1 --head softmax --arch @text rows >model
    onnx-write model >written
    by_model score
    equal score out rows
}

@test "several proxies a class, and embeddings from elsewhere" {
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
r = np.random.RandomState(3)
with open("embeddings", "wb") as f:
    for record in ({"tensor-stream": 1, "classes": ["a", "\"b\"", "c"]},
                   {"embedding": r.randn(30, 7).astype("f4"), "label": (np.arange(30) % 3).astype("i4")}, {"end": 30}):
        f.write(msgpack.packb(record, default=msgpack_numpy.encode))
PYTHON
    local method
    for method in "proxies --proxies 3" mean ridge; do
        # shellcheck disable=SC2086
        imprint --quiet --method $method embeddings >model
        onnx-write <model >written
        classify --device cpu --precision fp32 --model model embeddings >out
        equal score out embeddings
    done
    fails 1 "has no network" onnx-write --embedding model -o out2
}

@test "how pictures are prepared goes with it, and onnx-read's classes" {
    "$PYTHON" "$ROOT/tests/tools/onnx.py" transformer transformer.onnx rows transformer.npy
    onnx-read --head none --preset clip transformer.onnx >model
    fails 1 "no classes" onnx-write model -o out
    onnx-write --embedding model >written
    by_model embedding
    equal embedding embeddings rows
    "$PYTHON" -c "
import json, numpy as np
assert json.loads(str(np.load('given.npz')['meta'])) == {'resize': '224', 'interpolation': 'bicubic'}"
}

@test "what is no model is refused, and nothing is written" {
    fails 1 "no model" onnx-write rows -o out
    fails 1 "No such file" onnx-write nowhere -o out
    fails 2 "one model" onnx-write a b -o out
    leaves_nothing out
}
