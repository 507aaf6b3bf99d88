#!/usr/bin/env bats
# model-merge: merging is imprinting at once; what does not belong together is refused.

load common

setup() {
    common_setup
    need_python numpy
    need_python msgpack msgpack_numpy
    EMBEDDINGS="$PYTHON $ROOT/tests/tools/embeddings.py"
    # A base model: classes cat and dog, made base ones, since nothing imprinted is left to say otherwise.
    $EMBEDDINGS cat,dog,ship,truck 40 16 5 >all
    class-filter --keep cat,dog all | imprint --quiet >two.model
    make_base two.model base.model
}

# make_base FROM TO [SCALE]: the same model with its classes base and no imprint sums, as if trained.
make_base() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy
records = list(msgpack.Unpacker(open(sys.argv[1], "rb"), object_hook=msgpack_numpy.decode))
header, tensors = records[0], [r for r in records[1:-1] if not any(k.startswith("imprint/") for k in r)]
header["model"]["kinds"] = ["base"] * len(header["classes"])
if len(sys.argv) > 3:
    tensors = [{k: v * float(sys.argv[3]) if k == "head/scale" else v for k, v in r.items()} for r in tensors]
    tensors = [{k: v.astype("f4") for k, v in r.items()} for r in tensors]
with open(sys.argv[2], "wb") as f:
    for r in [header] + tensors + [{"end": sum(len(v) for r in tensors for v in r.values())}]:
        f.write(msgpack.packb(r, default=msgpack_numpy.encode))
PYTHON
}

# same_model A B: the same classes (in any order) with the same kinds and, within rounding, the same tensors.
same_model() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
def load(path):
    records = list(msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode))
    return records[0], {k: v for r in records[1:-1] for k, v in r.items()}
(ha, a), (hb, b) = load(sys.argv[1]), load(sys.argv[2])
assert sorted(ha["classes"]) == sorted(hb["classes"]), (ha, hb)
assert sorted(a) == sorted(b), (sorted(a), sorted(b))
order = [hb["classes"].index(c) for c in ha["classes"]]
assert ha["model"]["kinds"] == [hb["model"]["kinds"][i] for i in order]
for name in a:
    other = b[name]
    if name.split("/")[1] in ("weight", "sum", "count", "bias", "exemplars", "feature-sum") and len(other) == len(order):
        other = other[order]
    difference = np.abs(a[name].astype("f8") - other).max()
    scale = max(1, np.abs(a[name]).max())
    # Scores of rows left out are differences of products in float32, a bias lies between two scores.
    most = {"made/known-scores": 1e-4, "head/bias": 1e-5}.get(name, 1e-6)
    assert difference <= most * scale, (name, difference)
PYTHON
}

# statistics FROM TO: the model with statistics of base.emb, and nothing imprinted.
statistics() {
    class-filter --keep ship --per-class 1 all >one.emb
    imprint --quiet --base base.emb --features 60 --model "$1" one.emb | model-edit --drop ship -o "$2"
}

# split_rows FILE N: its rows, every N-th into part-0 to part-(N - 1).
split_rows() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
records = list(msgpack.Unpacker(open(sys.argv[1], "rb"), object_hook=msgpack_numpy.decode))
fields = {k: np.concatenate([r[k] for r in records[1:-1]]) for k in ("embedding", "label")}
n = int(sys.argv[2])
for part in range(n):
    rows = {k: v[part::n] for k, v in fields.items()}
    with open("part-%d" % part, "wb") as f:
        for r in [records[0], rows, {"end": len(rows["label"])}]:
            f.write(msgpack.packb(r, default=msgpack_numpy.encode))
PYTHON
}

@test "classes imprinted apart are classes imprinted at once" {
    for class in ship truck; do
        class-filter --keep $class all | imprint --quiet --model base.model -o $class.model
    done
    class-filter --keep ship,truck all | imprint --quiet --model base.model -o both.model
    model-merge ship.model truck.model >merged.model
    same_model both.model merged.model
    model-merge truck.model ship.model -o other.model
    same_model both.model other.model
    classify --model both.model --format tsv all >at-once.tsv
    classify --model merged.model --format tsv all >merged.tsv
    cmp at-once.tsv merged.tsv
}

@test "eight parts of the same classes are one pass" {
    for part in 1 2 3 4 5 6 7 8; do
        $EMBEDDINGS cat,ship,truck $((part * 3)) 16 $part >part.$part
        imprint --quiet --model base.model part.$part -o part-$part.model
    done
    imprint --quiet --model base.model part.[1-8] -o once.model
    model-merge part-[1-8].model -o merged.model
    same_model once.model merged.model
    model-merge part-{5,3,8,1,2,7,6,4}.model | cat >shuffled.model
    same_model once.model shuffled.model
    # In two stages, as a tree of machines would.
    model-merge part-[1-4].model -o left.model
    model-merge part-[5-8].model -o right.model
    model-merge left.model right.model -o tree.model
    same_model once.model tree.model
    classify --model once.model --format tsv all >once.tsv
    classify --model merged.model --format tsv all | cut -f 1,2 >merged.tsv
    cut -f 1,2 once.tsv | cmp - merged.tsv
}

@test "base classes made anew in parts merge too" {
    for part in 1 2; do
        $EMBEDDINGS cat,ship 20 16 $part >part.$part
        imprint --quiet --update-base --model base.model part.$part -o part-$part.model
    done
    imprint --quiet --update-base --model base.model part.1 part.2 -o once.model
    model-merge part-1.model part-2.model -o merged.model
    same_model once.model merged.model
    # and where only one of them made it anew, it is taken over
    imprint --quiet --model base.model part.2 -o plain.model
    model-merge plain.model part-1.model -o one.model
    model-merge part-1.model plain.model -o other.model
    same_model one.model other.model
}

@test "what --base had imprinted counts once" {
    class-filter --keep ship all | imprint --quiet --model base.model -o nine.model
    for part in 1 2; do
        $EMBEDDINGS ship,truck 20 16 $part >part.$part
        imprint --quiet --model nine.model part.$part -o part-$part.model
    done
    imprint --quiet --model nine.model part.1 part.2 -o once.model
    model-merge --base nine.model part-1.model part-2.model -o merged.model
    same_model once.model merged.model
    $EMBEDDINGS frog 20 16 3 | imprint --quiet --model nine.model -o frog.model
    imprint --quiet --model once.model <($EMBEDDINGS frog 20 16 3) -o once-frog.model
    model-merge --base nine.model frog.model part-1.model part-2.model -o merged-frog.model
    same_model once-frog.model merged-frog.model
}

@test "rows that are in two models are told of, and a base that is none is refused" {
    for part in 1 2; do $EMBEDDINGS ship,truck 20 16 $part >part.$part; done
    imprint --quiet --model base.model part.1 -o one.model
    imprint --quiet --model base.model part.2 -o other.model
    imprint --quiet --model one.model part.2 -o both.model
    model-merge one.model other.model 2>said >apart.model
    [ ! -s said ]
    model-merge one.model both.model 2>said >twice.model
    [ "$(wc -l <said)" -eq 1 ]
    grep -q "both.model: class 'ship': 20 of the rows that it keeps are in the models before it" said
    model-merge --base one.model both.model 2>said -o same.model
    [ ! -s said ]
    same_model both.model same.model
    fails 1 "other.model: lacks rows of class 'ship' that --base has" model-merge --base one.model other.model -o none
    leaves_nothing none
}

@test "one model merges to itself" {
    class-filter --keep ship all | imprint --quiet --model base.model -o ship.model
    model-merge ship.model | cmp - ship.model
    model-merge - <ship.model | cmp - ship.model
}

@test "models that do not belong together" {
    class-filter --keep ship all | imprint --quiet --model base.model -o ship.model
    class-filter --keep truck all >truck
    cp ship.model out

    fails 1 "same rows as in ship.model; name with --base" model-merge -o out ship.model ship.model
    cp ship.model copy.model
    fails 1 "copy.model: class 'ship' was made from the same rows" model-merge -o out ship.model copy.model

    imprint --quiet --model base.model --norm none truck -o none.model
    fails 1 "none.model: was imprinted with --norm none" model-merge -o out ship.model none.model

    make_base two.model scaled.model 2
    imprint --quiet --model scaled.model truck -o scaled-truck.model
    fails 1 "another 'head/scale'" model-merge -o out ship.model scaled-truck.model

    $EMBEDDINGS cat,dog 30 16 9 | imprint --quiet -o other.two
    make_base other.two other.base
    imprint --quiet --model other.base truck -o other.model
    fails 1 "another 'head/weight' of class 'cat'" model-merge -o out ship.model other.model

    $EMBEDDINGS cat,dog 30 12 9 | imprint --quiet -o narrow.model
    fails 1 "dimension 12, and not 16" model-merge -o out ship.model narrow.model
    fails 1 "cat' as novel, and not base" model-merge -o out ship.model two.model
    $EMBEDDINGS ship 30 16 9 | imprint --quiet --head softmax -o softmax.model
    fails 1 "softmax head" model-merge -o out ship.model softmax.model
    fails 1 "--base" model-merge --base two.model -o out ship.model
    cmp out ship.model
}

@test "damaged models, wrong usage, a full disk" {
    class-filter --keep ship all | imprint --quiet --model base.model -o ship.model
    head -c 400 ship.model >cut
    fails 1 "cut: " model-merge -o out ship.model cut
    fails 1 "missing" model-merge -o out ship.model missing
    fails 1 "no model" model-merge -o out ship.model all
    fails 2 "which models" model-merge -o out
    leaves_nothing out
    model-merge ship.model >/dev/full 2>said && false
    [ "$(wc -l <said)" -eq 1 ]
}

# Base classes with statistics: two.model, its classes made base ones, and their rows for --base.
@test "eight parts merge to one pass by every method, calibrated or not" {
    class-filter --keep cat,dog all >base.emb
    class-filter --keep ship,truck all >new.emb
    for method in mean ridge auto proxies; do
        for how in --calibrate --no-calibrate; do
            options="--quiet --method $method $how"
            [ $method = proxies ] && options="$options --proxies 2"
            statistics base.model stats.model
            imprint $options --model stats.model new.emb -o whole.model
            split_rows new.emb 8
            parts=
            for part in 0 1 2 3 4 5 6 7; do
                imprint $options --model stats.model part-$part -o part-$part.model
                parts="$parts part-$part.model"
            done
            model-merge $parts >merged.model
            same_model whole.model merged.model
            classify --quiet --model whole.model --format tsv all >whole.tsv
            classify --quiet --model merged.model --format tsv all >merged.tsv
            diff <(cut -f1-3 whole.tsv) <(cut -f1-3 merged.tsv)
        done
    done
}

@test "ridge: rows added later, and in another order, give the weights of all at once" {
    class-filter --keep cat,dog all >base.emb
    class-filter --keep ship,truck all >new.emb
    statistics base.model stats.model
    split_rows new.emb 2
    options="--quiet --method ridge"
    imprint $options --model stats.model part-0 -o first.model
    imprint $options --model first.model part-1 -o later.model
    imprint $options --model stats.model part-1 part-0 -o turned.model
    imprint $options --model stats.model new.emb -o whole.model
    same_model whole.model later.model
    same_model whole.model turned.model
}

@test "models of other random features do not merge" {
    class-filter --keep cat,dog all >base.emb
    for class in ship truck; do class-filter --keep $class all >$class.emb; done
    imprint --quiet --base base.emb --method ridge --features 50 --model base.model ship.emb -o ship.model
    imprint --quiet --base base.emb --method ridge --features 50 --seed 2 --model base.model truck.emb -o truck.model
    run model-merge ship.model truck.model -o none
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [ ! -e none ]
    imprint --quiet --base base.emb --method ridge --features 40 --model base.model truck.emb -o truck.model
    run model-merge ship.model truck.model -o none
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [ ! -e none ]
}
