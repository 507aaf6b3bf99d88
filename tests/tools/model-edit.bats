#!/usr/bin/env bats
# model-edit: classes dropped and renamed, models made slim, as Python reads the result; and input that is wrong.

load common

setup() {
    common_setup
    need_python numpy
    need_python msgpack msgpack_numpy
}

# make_model FILE: a model without a network: classes cat, dog (base), ship, a=b (novel), dimension 3.
make_model() {
    "$PYTHON" - "$1" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
tensors = {"head/scale": np.array([10], "f4"), "head/weight": np.arange(12, dtype="f4").reshape(4, 3),
           "imprint/sum": np.arange(12, dtype="f8").reshape(4, 3), "imprint/count": np.arange(4, dtype="f8"),
           "imprint/feature-sum": np.arange(16, dtype="f8").reshape(4, 4), "imprint/feature-gram": np.eye(4),
           "other": np.arange(4, dtype="f4")}
with open(sys.argv[1], "wb") as f:
    pack = lambda o: f.write(msgpack.packb(o, default=msgpack_numpy.encode))
    pack({"tensor-stream": 1, "classes": ["cat", "dog", "ship", "a=b"],
          "model": {"version": 1, "network": "", "input": [0, 0, 0], "dimension": 3, "head": "cosine",
                    "kinds": ["base", "base", "novel", "novel"], "norm": "l2", "seed": 7, "ridge/features": 4, "ridge/seed": 1, "made": "by hand"}})
    for name, value in tensors.items():
        pack({name: value})
    pack({"end": sum(len(t) for t in tensors.values())})
PYTHON
}

# model_is FILE EXPRESSION: a Python expression over the model's header h and tensors t.
model_is() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
records = list(msgpack.Unpacker(open(sys.argv[1], "rb"), object_hook=msgpack_numpy.decode))
h, t = records[0], {k: v for r in records[1:-1] for k, v in r.items()}
assert records[-1]["end"] == sum(len(v) for v in t.values())
if not eval(sys.argv[2]):
    sys.exit("not so: %s\n%s\n%s" % (sys.argv[2], h, t))
PYTHON
}

@test "drops classes with all that is theirs" {
    make_model m
    model-edit --drop dog,3 m >got
    model_is got 'h["classes"] == ["cat", "ship"] and h["model"]["kinds"] == ["base", "novel"]'
    model_is got 't["head/weight"].tolist() == [[0, 1, 2], [6, 7, 8]]'
    model_is got 't["imprint/sum"].tolist() == [[0, 1, 2], [6, 7, 8]] and t["imprint/count"].tolist() == [0, 2]'
    model_is got 't["imprint/feature-sum"].shape == (2, 4) and t["imprint/feature-gram"].shape == (10,)'
    model_is got 't["other"].tolist() == [0, 1, 2, 3]'
    model_is got 'h["model"]["seed"] == 7 and h["model"]["made"] == "by hand" and h["model"]["version"] == 3'
}

@test "renames classes, also those with = in their names" {
    make_model m
    model-edit --rename cat=kitten --rename a=b=c=d --rename 1=hound <m >got
    model_is got 'h["classes"] == ["kitten", "hound", "ship", "c=d"]'
    model_is got 't["head/weight"].tolist() == np.arange(12.0).reshape(4, 3).tolist()'
}

@test "changes are made in their order" {
    make_model m
    model-edit --rename cat=x --rename dog=cat --rename x=dog m >got
    model_is got 'h["classes"] == ["dog", "cat", "ship", "a=b"]'
    model-edit --drop cat --rename dog=cat m >got
    model_is got 'h["classes"] == ["cat", "ship", "a=b"]'
}

@test "may write over the model it reads" {
    make_model m
    model-edit --drop 0 m -o m
    model_is m 'h["classes"] == ["dog", "ship", "a=b"]'
}

@test "slim: it classifies the same, takes no new classes, and says why" {
    made() { "$PYTHON" "$ROOT/tests/tools/embeddings.py" "$@"; }
    made a,b,c 30 >in
    made d 5 >more
    for method in auto mean proxies; do
        imprint --device cpu --method $method --as base in --force -o base
        imprint --device cpu --model base more --force -o whole
        model-edit --slim whole --force -o slim
        classify --device cpu --model whole --top 2 --unknown auto:0.1 in --force -o want
        classify --device cpu --model slim --top 2 --unknown auto:0.1 in --force -o got
        cmp got want
        [ "$(stat -c %s slim)" -lt "$(($(stat -c %s whole) / 2))" ]
        cp slim before
        fails 1 "slim: is slim" imprint --device cpu --model slim more -o out
        fails 1 "slim: is slim" model-merge whole slim -o out
        fails 1 "slim: is slim" model-merge --base slim whole -o out
        cmp slim before
        leaves_nothing out
    done
    model-edit --drop d --slim --rename a=A slim >less
    [ "$(classify --device cpu --model less --format tsv in | cut -f 3 | sort -u | tr '\n' ' ')" = "A b c prediction " ]
}

@test "classes that are not there, or would be there twice, or none" {
    make_model m
    cp m before
    fails 1 "frog" model-edit --drop frog m -o m
    fails 1 "9" model-edit --drop 9 m -o m
    fails 1 "frog=toad" model-edit --rename frog=toad m -o m
    fails 1 "dog" model-edit --rename cat=dog m -o m
    fails 1 "1 to 1023 bytes" model-edit --rename cat= m -o m
    fails 1 "control" model-edit --rename "cat=a"$'\t'"b" m -o m
    fails 1 "no class would be left" model-edit --drop 0-3 m -o m
    cmp m before
}

@test "a model that is damaged" {
    make_model m
    head -c 300 m >cut
    fails 1 "cut" model-edit --drop cat -o out cut
    cat m m >twice
    fails 1 "twice" model-edit --drop cat -o out twice
    sed 's/version\x01/version\x04/' m >other
    fails 1 "version 4" model-edit --drop cat -o out other
    : >empty
    fails 1 "empty" model-edit --drop cat -o out empty
    fails_with empty 1 "empty" model-edit --drop cat -o out
    fails 1 "missing" model-edit --drop cat -o out missing
    fails 1 "not a tensor stream" model-edit --drop cat -o out "$ROOT/Makefile"
    leaves_nothing out
}

@test "wrong usage, a terminal and a full disk" {
    need_terminal
    make_model m
    fails 2 "nothing to do" model-edit m
    fails 2 "OLD=NEW" model-edit --rename cat m
    fails 2 "one model" model-edit --drop cat m m
    model-edit --drop cat m >/dev/full 2>said && false
    [ "$(wc -l <said)" -eq 1 ]
    script -qec "model-edit --drop cat m" /dev/null >said && false
    grep -q 'terminal' said
}

@test "weights written as bf16 take half the bytes and give the same embeddings in bf16" {
    printf 'conv:3x3x8:same relu maxpool:2 dense:256\n' >net
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
rng = np.random.default_rng(3)
with open("pictures", "wb") as f:
    for record in ({"tensor-stream": 1, "classes": ["cat", "dog"]},
                   {"image": rng.integers(0, 256, (20, 8, 8, 3), dtype="u1"), "label": np.arange(20, dtype="i4") % 2},
                   {"end": 20}):
        f.write(msgpack_numpy.packb(record))
PYTHON
    cnn-train --quiet --device cpu --arch @net --epochs 1 pictures -o whole.model
    model-edit --precision bf16 whole.model -o half.model
    [ "$(stat -c %s half.model)" -lt "$(($(stat -c %s whole.model) - 50000))" ]
    local precision=bf16 # where the processor computes it
    embed --device cpu --precision bf16 --quiet --model whole.model pictures >/dev/null 2>&1 || precision=fp32
    for model in whole half; do
        embed --device cpu --precision $precision --quiet --model $model.model pictures >$model.rows
        "$PYTHON" -c 'import sys, msgpack, msgpack_numpy, numpy as np
for r in msgpack.Unpacker(open(sys.argv[1] + ".rows", "rb"), object_hook=msgpack_numpy.decode):
    if "embedding" in r: np.save(sys.argv[1], r["embedding"])' $model
    done
    "$PYTHON" -c 'import numpy as np
a, b = np.load("whole.npy"), np.load("half.npy")
assert a.shape == b.shape and np.abs(a - b).max() <= 0.01 * np.abs(a).max(), np.abs(a - b).max()'
    imprint --quiet --model half.model --update-base half.rows -o more.model
    tensor-info --all more.model | grep -q 'weights/precision bf16'
    cnn-train --quiet --device cpu --init half.model --epochs 1 pictures -o trained.model
    ! tensor-info --all trained.model | grep -q 'weights/precision'
    model-edit --precision fp32 half.model -o again.model
    [ "$(stat -c %s again.model)" -gt "$(stat -c %s half.model)" ]
    embed --device cpu --precision $precision --quiet --model again.model pictures | cmp - half.rows
}
