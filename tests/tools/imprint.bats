setup() {
    load common
    common_setup
    need_python numpy msgpack msgpack_numpy
    D="--device reference"
}

made() { "$PYTHON" "$ROOT/tests/tools/embeddings.py" "$@"; }

# weights MODEL: a line a class, name, kind, weights, from the model as Python reads it.
weights() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy
header, tensors = None, {}
for record in msgpack.Unpacker(open(sys.argv[1], "rb"), object_hook=msgpack_numpy.decode, max_buffer_size=1 << 30):
    if "model" in record:
        header = record
    else:
        tensors.update(record)
for name, kind, row in zip(header["classes"], header["model"]["kinds"], tensors["head/weight"]):
    print(name, kind, " ".join("%.6f" % x for x in row))
PYTHON
}

@test "a weight is the normalised mean of the normalised embeddings" {
    made a,b 20 >in
    imprint $D in -o m
    weights m >got
    "$PYTHON" - >want <<'PYTHON'
import msgpack, msgpack_numpy, numpy
x, y, names = [], [], None
for r in msgpack.Unpacker(open("in", "rb"), object_hook=msgpack_numpy.decode):
    names = r.get("classes", names)
    if "embedding" in r:
        x.append(r["embedding"]); y.append(r["label"])
x, y = numpy.concatenate(x).astype(float), numpy.concatenate(y)
x /= numpy.linalg.norm(x, axis=1, keepdims=True)
for c, name in enumerate(names):
    w = x[y == c].mean(0)
    print(name, "novel", " ".join("%.6f" % v for v in w / numpy.linalg.norm(w)))
PYTHON
    diff got want
}

@test "--norm none takes the plain mean" {
    made a,b 20 >in
    imprint $D --head softmax --norm none in -o m
    weights m >got
    "$PYTHON" - >want <<'PYTHON'
import msgpack, msgpack_numpy, numpy
x, y = [], []
for r in msgpack.Unpacker(open("in", "rb"), object_hook=msgpack_numpy.decode):
    if "embedding" in r:
        x.append(r["embedding"]); y.append(r["label"])
x, y = numpy.concatenate(x).astype(float), numpy.concatenate(y)
for c, name in enumerate("ab"):
    print(name, "novel", " ".join("%.6f" % v for v in x[y == c].mean(0)))
PYTHON
    diff got want
}

@test "examples added later give the weights of all at once, and so does another order" {
    made a,b,c 30 16 1 >one
    made a,b,c 30 16 2 >two
    cat one two | imprint $D -o all
    cat two one | imprint $D -o turned
    imprint $D one -o first
    imprint $D --model first two -o both
    weights all >want
    weights both | diff - want
    weights turned | diff - want
}

@test "classes in two runs are classes at once" {
    made a,b,c 30 >in
    imprint $D in -o all
    imprint $D --classes a in -o first
    imprint $D --model first --classes b,c in -o both
    weights all >want
    weights both | diff - want
}

@test "base classes stay unless --update-base is given" {
    need_cifar10
    cifar-read "$CIFAR10/data_batch_1.bin" >pictures
    class-filter --keep 0-2 --per-class 20 pictures >few
    echo 'dense:8 relu' >arch
    cnn-train $D --arch @arch --epochs 1 few -o base 2>/dev/null
    class-filter --keep 0,8 --per-class 10 pictures | embed $D --model base >embedded
    weights base >before
    imprint $D --model base embedded -o nine 2>said
    grep -q "left out 10 rows of base classes" said
    weights nine >after
    head -3 after | diff - before
    [ "$(tail -1 after | cut -d' ' -f1,2)" = "ship novel" ]
    imprint $D --model base --update-base embedded -o changed
    weights changed >changed.txt
    ! diff <(head -1 changed.txt) <(head -1 before)
    diff <(sed -n 2,3p changed.txt) <(sed -n 2,3p before)
    fails 1 "only rows of base classes came" imprint $D --model base --classes 0 embedded -o none
    leaves_nothing none
}

@test "embeddings of another network are refused" {
    need_cifar10
    cifar-read "$CIFAR10/test_batch.bin" | class-filter --keep 0-2 --per-class 20 >few
    echo 'dense:8 relu' >arch
    for s in 1 2; do cnn-train $D --arch @arch --epochs 1 --seed $s few -o base$s 2>/dev/null; done
    embed $D --model base1 few >embedded
    fails 1 "of another network" imprint $D --model base2 embedded -o none
    fails 1 "of another network" classify $D --model base2 embedded -o none
    leaves_nothing none
}

@test "wrong input: one line, nothing left behind" {
    made a,b 5 >in
    made a,b 5 8 >narrow
    imprint $D in -o m 2>/dev/null
    fails 1 "8 numbers" imprint $D --model m narrow -o none
    fails 1 "no class 'z'" imprint $D --classes z in -o none
    fails 1 "no field 'embedding'" imprint $D m -o none
    head -c 700 in >cut
    fails 1 "" imprint $D cut -o none
    fails 1 "" imprint $D /dev/null -o none
    fails 1 "" imprint $D missing -o none
    fails 1 "" imprint $D --model in in -o none
    fails 2 "" imprint $D --norm both in -o none
    fails 2 "" imprint $D --scale nan in -o none
    fails 1 "other --norm" imprint $D --model m --norm none in -o none
    fails 1 "" imprint $D in -o /dev/full
    leaves_nothing none
    echo old >kept
    fails 1 "" imprint $D cut -o kept
    [ "$(cat kept)" = old ]
}

# stream EMBEDDING: a stream of class a whose rows are that Python expression, two classes in the header.
stream() {
    "$PYTHON" - "$1" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy
w = lambda r: sys.stdout.buffer.write(msgpack.packb(r, default=msgpack_numpy.encode))
x = numpy.array(eval(sys.argv[1]), numpy.float32)
w({"tensor-stream": 1, "classes": ["a", "b"]})
if len(x): w({"embedding": x, "label": numpy.zeros(len(x), numpy.int32)})
w({"end": len(x)})
PYTHON
}

@test "NaN, zeros, no rows, a class without rows; one row and equal rows" {
    stream "[[1,2],[numpy.nan,1]]" >nan
    fails 1 "embedding" imprint $D nan -o none
    stream "[[0,0],[0,0]]" >zero
    fails 1 "zeros" imprint $D zero -o none
    stream "[]" >empty
    fails 1 "no rows" imprint $D empty -o none
    stream "[[1,2],[2,1]]" >only-a
    fails 1 "class b has no rows" imprint $D --classes a,b only-a -o none
    fails 1 "no rows" imprint $D --classes b only-a -o none
    leaves_nothing none
    stream "[[1,-1],[-1,1]]" >opposite
    fails 1 "no direction" imprint $D opposite -o none
    leaves_nothing none
    stream "[[3,4]]" | imprint $D -o one
    [ "$(weights one)" = "a novel 0.600000 0.800000" ]
    stream "[[3,4]]*7" | imprint $D -o seven
    [ "$(weights seven)" = "a novel 0.600000 0.800000" ]
    stream "[[0,0],[3,4]]" | imprint $D -o some 2>said
    grep -q "left out 1 embedding" said
    [ "$(weights some)" = "a novel 0.600000 0.800000" ]
}

# One row a class: nothing can be left out, and how sure scores are is told by how many dimensions the rows spread over.
@test "one shot is surer in many dimensions than in few" {
    names=$(seq -s, 1 20)
    for dimension in 3 256; do
        spread=$([ $dimension = 3 ] && echo 0.6 || echo 1.5)
        "$PYTHON" "$ROOT/tests/tools/embeddings.py" "$names" 1 $dimension 1 $spread | imprint --quiet -o one --force
        "$PYTHON" "$ROOT/tests/tools/embeddings.py" "$names" 20 $dimension 2 $spread | classify --quiet --model one >said
        score --quiet --format json said >judged.$dimension
    done
    jq -e '.loss < 1 and .all > 0.9' judged.256
    jq -e '.loss < 2.9957' judged.3 # the logarithm of 20: no worse than to know nothing
}

# Base classes a, b with statistics: base.model and base.emb; new rows of c and d; test rows of all.
# The noise is strong along few directions, where the mean is led astray and the covariance is not.
ridge_setting() {
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
r = np.random.default_rng(1)
centres = np.abs(r.normal(size=(4, 24)))
noise = r.normal(size=(3, 24)) * 1.5
def write(path, classes, rows):
    y = r.permutation(np.repeat(classes, rows)).astype("i4")
    x = np.maximum(centres[y] + r.normal(size=(len(y), 3)) @ noise + 0.2 * r.normal(size=(len(y), 24)) + 2, 0)
    with open(path, "wb") as f:
        for m in ({"tensor-stream": 1, "classes": list("abcd")}, {"embedding": x.astype("f4"), "label": y}, {"end": len(y)}):
            f.write(msgpack.packb(m, default=msgpack_numpy.encode))
write("base.emb", [0, 1], 300); write("new.emb", [2, 3], 60); write("test.emb", [0, 1, 2, 3], 200)
PYTHON
    imprint --quiet --method mean base.emb -o means
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy
records = list(msgpack.Unpacker(open("means", "rb"), object_hook=msgpack_numpy.decode))
records = [r for r in records if not any(k.startswith("imprint/") for k in r)]
records[0]["model"] = {k: v for k, v in records[0]["model"].items() if not k.startswith(("imprint/", "made/"))}
records[0]["model"]["kinds"] = ["base"] * 2
records[-1] = {"end": sum(len(v) for r in records[1:-1] for v in r.values())}
open("base.model", "wb").write(b"".join(msgpack.packb(r, default=msgpack_numpy.encode) for r in records))
PYTHON
}

all_classes() { classify --quiet --model "$1" test.emb | score --format json | jq .all; }

@test "ridge sees what the mean does not; auto takes it where there is what it needs" {
    ridge_setting
    imprint --model base.model --base base.emb --features 300 --method ridge new.emb -o ridge.model 2>said
    grep -q "by ridge, lambda" said
    imprint --quiet --model base.model --base base.emb --features 300 --method mean new.emb -o mean.model
    imprint --quiet --model base.model --base base.emb --features 300 new.emb -o auto.model
    imprint --model base.model new.emb -o plain.model 2>said
    grep -q "by mean" said
    [ "$(jq -n "$(all_classes ridge.model) > $(all_classes mean.model) + 0.1")" = true ]
    cmp <(classify --quiet --model auto.model test.emb) <(classify --quiet --model ridge.model test.emb)
    # With few rows auto is ridge, too.
    class-filter --keep c,d --per-class 2 new.emb >few.emb
    for method in mean ridge auto; do
        imprint --quiet --model base.model --base base.emb --features 300 --method $method few.emb -o $method.model
    done
    [ "$(jq -n "$(all_classes auto.model) > ([$(all_classes mean.model), $(all_classes ridge.model)] | max) - 0.03")" = true ]
}

@test "calibration raises the harmonic mean of classes that crowd the old ones out" {
    ridge_setting
    for how in calibrate no-calibrate; do
        class-filter --keep c,d --per-class 20 --seed 1 new.emb |
            imprint --quiet --model base.model --base base.emb --features 300 --$how --method ridge -o $how.model
        classify --quiet --model $how.model test.emb | score --format json | jq .harmonic_mean >$how
    done
    [ "$(jq -n "$(cat calibrate) > $(cat no-calibrate) - 0.02")" = true ]
}

@test "proxies: several weights a class, fixed by the seed" {
    ridge_setting
    imprint --quiet --model base.model --method proxies --proxies 5 --reservoir 40 new.emb -o one.model
    imprint --quiet --model base.model --method proxies --proxies 5 --reservoir 40 new.emb -o two.model
    cmp one.model two.model
    tensor-info --all one.model | grep -q 'proxies/weight.*4, 5, 24'
    tensor-info --all one.model | grep -q 'imprint/exemplars.*4, 40, 24'
}

@test "methods: wrong input is one line and no file" {
    ridge_setting
    class-filter --keep c --per-class 3 new.emb >few.emb
    class-filter --keep c --per-class 1 new.emb >one.emb
    refused() {
        want=$1
        shift
        run imprint "$@" -o none
        [ "$status" -eq "$want" ] && [ "${#lines[@]}" -eq 1 ] && [ ! -e none ]
    }
    refused 1 --model base.model --method ridge new.emb
    [[ $output == *--statistics* ]]
    refused 1 --model base.model --method proxies --proxies 4 few.emb
    [[ $output == *"too few for 4 proxies"* ]]
    refused 1 --method ridge one.emb
    [[ $output == *"two classes"* ]]
    refused 1 --model base.model --base few.emb new.emb
    [[ $output == *"base classes"* ]]
    refused 1 --model base.model --base missing new.emb
    refused 2 --model base.model --proxies 4 new.emb
    refused 2 --model base.model --reservoir 4 new.emb
    refused 2 --model base.model --method best new.emb
    refused 2 --base base.emb new.emb
    refused 2 --update-base new.emb
    refused 2 --model base.model --scale 3 new.emb
    refused 2 --model base.model --head softmax new.emb
    refused 2 --model base.model --method mean --ridge 3 new.emb
    refused 1 new.emb base.model
    [[ $output == *"base.model: a model, not records"* ]]
    imprint --quiet --model base.model --base base.emb --features 50 --method ridge few.emb -o ridge.model
    refused 1 --model ridge.model --features 60 new.emb
    imprint --quiet --model base.model --method proxies --proxies 2 --reservoir 10 few.emb -o proxies.model
    refused 1 --model proxies.model --method proxies --reservoir 20 new.emb
}

@test "a model stays with its method and calibration, and steps give the bytes of all at once" {
    ridge_setting
    class-filter --keep c --per-class 20 new.emb >c.emb
    class-filter --keep d --per-class 30 new.emb >d.emb
    imprint --quiet --model base.model --base base.emb --features 60 --method mean --no-calibrate c.emb -o with.model
    for how in "--method ridge" "--method ridge --no-calibrate" "--method proxies --proxies 2"; do
        imprint --quiet --model base.model --base base.emb --features 60 $how c.emb -o first.model
        imprint --quiet --model first.model d.emb -o steps.model
        imprint --quiet --model base.model --base base.emb --features 60 $how c.emb d.emb -o once.model
        cmp steps.model once.model
    done
    imprint --model first.model --method mean d.emb -o changed.model 2>said
    grep -q "by mean" said
}

@test "embeddings of any length have a direction" {
    made a,b,c 20 >in
    imprint --quiet $D in -o m
    classify --quiet $D --model m --format tsv in >want
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy
for name, factor in (("small", 1e-30), ("large", 1e30)):
    with open(name, "wb") as out:
        for r in msgpack.Unpacker(open("in", "rb"), object_hook=msgpack_numpy.decode):
            if "embedding" in r:
                r["embedding"] = (r["embedding"].astype("f8") * factor).astype("f4")
            out.write(msgpack.packb(r, default=msgpack_numpy.encode))
PYTHON
    for device in cpu reference; do
        for name in small large; do
            imprint --quiet --device $device $name -o $name.model
            classify --quiet --device $device --model $name.model --format tsv in >got
            cmp <(cut -f 1-3 want) <(cut -f 1-3 got)
            classify --quiet --device $device --model m --format tsv $name >got
            cmp <(cut -f 1-3 want) <(cut -f 1-3 got)
        done
    done
}

@test "thousands of classes keep few rows of each" {
    made "$(seq -s, 3000)" 2 64 >in
    imprint --quiet in -o mean.model
    tensor-info --all mean.model | grep -q 'imprint/exemplars.*3000, 4, 64'
    imprint --quiet --method proxies --proxies 2 in -o proxies.model
    tensor-info --all proxies.model | grep -qE 'imprint/exemplars.*3000, [34][0-9][0-9], 64'
    [ "$(classify --quiet --model proxies.model in | score --quiet --by novel | tail -n 1)" = 1.0000 ]
}

@test "a picture's views are one shot, the mean of them, in whatever batches they come" {
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
r = np.random.default_rng(3)
x = np.abs(r.normal(size=(7, 3, 8))).astype("f4")
y = np.array([0, 1, 1, 0, 1, 0, 0], "i4")
def write(path, batches, end):
    with open(path, "wb") as f:
        for m in [{"tensor-stream": 1, "classes": ["a", "b"]}, *batches, {"end": end}]:
            f.write(msgpack.packb(m, default=msgpack_numpy.encode))
rows, label, view = x.reshape(21, 8), np.repeat(y, 3), np.tile(np.arange(3, dtype="u2"), 7)
cut = [0, 1, 5, 12, 20, 21]
write("views", [{"embedding": rows[i:k], "label": label[i:k], "view": view[i:k]} for i, k in zip(cut, cut[1:])], 21)
write("average", [{"embedding": x.mean(1), "plain": x[:, 0].copy(), "label": y}], 7)
write("plain", [{"embedding": x[:, 0].copy(), "label": y}], 7)
write("apart", [{"embedding": rows[::2].copy(), "label": label[::2].copy(), "view": view[::2].copy()}], 11)
PYTHON
    imprint views -o by-views.model 2>said
    grep -q "from 7 embeddings" said
    imprint --quiet average -o by-average.model
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def load(path):
    return {k: v for m in msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode) for k, v in m.items()}
a, b = load("by-views.model"), load("by-average.model")
for name in "head/weight", "imprint/sum", "imprint/count", "imprint/exemplars":
    assert np.abs(a[name] - b[name]).max() < 1e-6, name
PYTHON
    # Random features are the plain picture's; the temperature is that of the rows kept, which are means.
    for rows in views average plain; do imprint --quiet --method ridge --features 9 $rows -o $rows.model; done
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def load(path):
    return {k: v for m in msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode) for k, v in m.items()}
views, average, plain = (load(name + ".model") for name in ("views", "average", "plain"))
for m in views, average, plain:
    m["ridge/weight"] = m["ridge/weight"] / m["model"]["made/scale"]
assert abs(views["model"]["made/scale"] - average["model"]["made/scale"]) < 1e-5
for name in "ridge/weight", "imprint/feature-sum", "imprint/feature-gram":
    for other in views, average:
        assert np.abs(other[name] - plain[name]).max() < 1e-5 * np.abs(plain[name]).max(), name
assert np.abs(views["imprint/sum"] - plain["imprint/sum"]).max() > 0.01
PYTHON
    run imprint apart -o none
    [ "$status" -eq 1 ] && [[ $output == *"must stand together"* ]] && [ ! -e none ]
}

@test "--as base keeps classes from elsewhere apart from novel ones, and merges" {
    made a,b,c,d 60 12 2 >all
    class-filter --keep a,b,c all >known
    class-filter --keep d --per-class 3 all >few
    imprint --quiet $D --as base known -o base.model
    imprint $D --model base.model --explain few -o both.model 2>said
    [ "$(grep -c '^imprint: ' said)" -eq 6 ]
    grep -q "expected accuracy, rows left out: base 0\.[0-9]*, novel 0\.[0-9]*" said
    classify --quiet $D --model both.model all | score --format json >json
    jq -e '.base > 0.7 and .novel > 0.5 and (.harmonic_mean | . > 0.6)' json
    # Rows of base classes are left out later, and taken as base again.
    imprint $D --model both.model known -o none 2>said && false
    grep -q "only rows of base classes" said
    class-filter --keep a,b known | imprint --quiet $D --as base -o ab.model
    class-filter --keep c known | imprint --quiet $D --as base --model ab.model -o abc.model
    cmp <(classify --quiet $D --model abc.model all) <(classify --quiet $D --model base.model all)
}

@test "classes of equal rows, and equal classes, are imprinted all the same" {
    made a,b 1 8 5 >one
    cat one one one >equal # three equal rows of each class
    imprint --quiet $D equal -o m
    classify --quiet $D --model m one | score --format json | jq -e '.all == 1'
    made a 1 8 5 >a
    "$PYTHON" -c 'import sys; sys.stdout.buffer.write(open("a", "rb").read().replace(b"\xa1a", b"\xa1b"))' >b
    for how in novel base; do
        cat a b a b | imprint --quiet $D --as $how -o same # one and the same row in both
        classify --quiet $D --model same --format tsv a | awk 'NR == 2 && !($5 > 0.49 && $5 < 0.51) {exit 1}'
    done
    imprint --quiet $D --as base equal -o base.model
    made c,d 2 8 6 | imprint --quiet $D --model base.model --no-calibrate -o all.model
    classify --quiet $D --model all.model one | score --format json | jq -e '.all == 1'
}

@test "--balance: what a bias is to serve" {
    made a,b,c,d,e,f 200 10 3 1.2 >all
    class-filter --keep 0-3 --per-class 100 all | imprint --quiet $D --as base -o base.model
    class-filter --keep 4,5 --per-class 20 all >few
    figures() { classify --quiet $D --model "$1" all | score --format json; }
    for how in harmonic all base:0.02 base:0.5; do
        imprint --quiet $D --model base.model --balance $how few -o m
        figures m >"json.$how"
    done
    imprint --quiet $D --model base.model --no-calibrate few -o m
    figures m >json.none
    jq -s -e '.[0].harmonic_mean >= .[1].harmonic_mean - 0.03' json.harmonic json.none
    jq -s -e '.[0].all >= ([.[1:][].all] | max) - 0.02' json.all json.harmonic json.base:0.5 json.none
    jq -s -e '.[0].novel > .[1].novel and .[0].base < .[1].base' json.base:0.5 json.base:0.02
    # What base classes are expected to lose is said, with the cure, where it is more than a few points.
    imprint $D --model base.model --balance base:0.5 few -o costly 2>said
    note() { tensor-info --all costly | awk -v key="made/$1" '$1 == key { printf "%.3f", $2 }'; }
    grep -qF "; base accuracy $(note base-alone) is expected to become $(note base-accuracy) (--balance base:0.02 costs less)" said
    classify --quiet $D --model base.model all | score --quiet --format json |
        jq -e --argjson told "$(note base-alone)" '.base - $told | fabs < 0.05'
    jq -e --argjson told "$(note base-accuracy)" '.base - $told | fabs < 0.08' json.base:0.5
    imprint $D --model base.model --balance base:0.02 few -o cheap 2>said
    ! grep -q 'base accuracy' said
    imprint --quiet $D --model base.model --balance base:0.02 few -o first
    imprint --quiet $D --model first few -o second # a model stays with its balance
    "$PYTHON" -c 'import msgpack; print(next(msgpack.Unpacker(open("second", "rb")))["model"]["imprint/balance"])' |
        grep -qx base:0.02
    fails 2 "--balance" imprint $D --balance much few -o none
    fails 2 "--balance" imprint $D --balance base:1.5 few -o none
}

@test "beside a head of which no row is at hand base classes lose little" {
    # Forty base classes as a linear classifier of embeddings with a large common part, and two novel ones.
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
r = np.random.default_rng(4)
names = ["k%d" % i for i in range(40)] + ["new", "newer"]
centres = np.abs(r.normal(size=(42, 48)))
x = np.maximum(centres[np.repeat(np.arange(42), 60)] + 0.5 * r.normal(size=(42 * 60, 48)), 0).astype("f4")
y = np.repeat(np.arange(42), 60).astype("i4")
within = np.cov((x - np.array([x[y == c].mean(0) for c in range(42)])[y]).T)
mean = np.array([x[y == c].mean(0) for c in range(40)])
w = np.linalg.solve(within, (mean - mean.mean(0)).T).T
bias = -0.5 * ((mean + mean.mean(0)) * w).sum(1)
def write(path, head, *rest):
    with open(path, "wb") as f:
        for m in (head, *rest, {"end": sum(len(v) for r in rest for v in list(r.values())[:1])}):
            f.write(msgpack.packb(m, default=msgpack_numpy.encode))
write("head.model", {"tensor-stream": 1, "classes": names[:40], "model": {"version": 1, "network": "", "input": [0, 0, 0],
      "dimension": 48, "head": "softmax", "kinds": ["base"] * 40, "norm": "l2"}},
      {"head/weight": w.astype("f4")}, {"head/bias": bias.astype("f4")})
keep = np.concatenate([np.arange(c * 60, c * 60 + 5) for c in (40, 41)])
write("few", {"tensor-stream": 1, "classes": names}, {"embedding": x[keep], "label": y[keep]})
rest = np.setdiff1d(np.arange(len(y)), keep)
write("test", {"tensor-stream": 1, "classes": names}, {"embedding": x[rest], "label": y[rest]})
PYTHON
    classify --quiet $D --model head.model test | score --quiet --format json >before
    imprint $D --model head.model few -o after.model 2>said
    grep -q "no rows of base classes" said
    classify --quiet $D --model after.model test | score --format json >after
    imprint --quiet $D --model head.model --no-calibrate few -o raw.model
    classify --quiet $D --model raw.model test | score --format json >raw
    jq -s -e '.[1].base > 0.9 * .[0].base and .[1].novel > 0.3 and .[2].base < 0.5' before after raw
}
