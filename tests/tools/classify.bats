setup() {
    load common
    common_setup
    need_python numpy msgpack msgpack_numpy
    D="--device reference"
    made a,b,c 20 >train
    made c,a,x 10 16 2 >test
    imprint --quiet $D train -o m
}

made() { "$PYTHON" "$ROOT/tests/tools/embeddings.py" "$@"; }

# without_sample FROM TO: the model without the rows it keeps, and what it found by them.
without_sample() {
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy
records = list(msgpack.Unpacker(open(sys.argv[1], "rb"), object_hook=msgpack_numpy.decode))
records = [r for r in records if "imprint/exemplars" not in r and "made/known-scores" not in r]
records[-1] = {"end": sum(len(v) for r in records[1:-1] for v in r.values())}
open(sys.argv[2], "wb").write(b"".join(msgpack.packb(r, default=msgpack_numpy.encode) for r in records))
PYTHON
}

@test "scores are the scale times the cosine, as NumPy finds them" {
    imprint --quiet $D --method mean --no-calibrate train -o m
    classify $D --model m test -o out
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy
def read(path):
    records = list(msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode))
    names = {k for r in records[1:-1] for k in r}
    return records[0], {k: numpy.concatenate([r[k] for r in records if k in r]) for k in names}
_, model = read("m")
head, rows = read("test")
out_head, out = read("out")
x = rows["embedding"].astype(float); x /= numpy.linalg.norm(x, axis=1, keepdims=True)
w = model["head/weight"].astype(float); w /= numpy.linalg.norm(w, axis=1, keepdims=True)
want = 10 * x @ w.T
assert numpy.abs(out["score"] - want).max() < 1e-4
assert (out["prediction"] == want.argmax(1)).all()
assert out_head["classes"] == ["a", "b", "c", "x"], out_head
assert out_head["kinds"] == ["novel"] * 3
old = [head["classes"][i] for i in rows["label"]]
assert [out_head["classes"][i] for i in out["label"]] == old
assert "embedding" not in out and len(out["prediction"]) == len(x)
PYTHON
    classify $D --model m --keep-embedding test -o kept
    grep -q embedding kept && ! grep -q embedding out
}

@test "predictions tell of their model: a sweep is a table by jq alone" {
    local n
    made a,b,c,d 20 >more
    for n in 1 5 20; do
        class-filter --per-class $n more >few
        imprint --quiet $D --method mean few -o m.$n
        classify $D --model m.$n test | score --quiet --format json >$n.json
    done
    [ "$(jq -r '[.model.method, .model.shots] | @tsv' 1.json 5.json 20.json)" = "$(printf 'mean\t%s\n' 1 5 20)" ]
    jq -e '.model == {method: "mean", balance: null, seed: null, shots: 5, shots_most: 5, base_classes: 0, classes: 4}' 5.json

    # Base classes, unequal numbers of rows, a balance of one's own.
    imprint --quiet $D --as base train -o base
    class-filter --keep d more >d
    cat d d test >few
    imprint --quiet $D --method ridge --balance base:0.1 --model base few -o both
    classify $D --model both test >p
    score --format json p | jq -e '.model | .method == "ridge" and .balance == "base:0.1" and .base_classes == 3 and
        .classes == 5 and .shots == 10 and .shots_most == 40'

    # What follows is of another model, of the same classes: nothing is known of both.
    classify $D --model m.1 test >p1
    classify $D --model m.20 test | cat p1 - | score --quiet --format json | jq -e '.model | map(. == null) | all'
    cat p1 p1 | score --quiet --format json | jq -e '.model.shots == 1'
}

@test "--fields adds texts and numbers of the input to tsv and jsonl" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import msgpack, msgpack_numpy, numpy as np
rows = 0
with open("more", "wb") as f:
    for r in msgpack.Unpacker(open("test", "rb"), object_hook=msgpack_numpy.decode):
        if "embedding" in r:
            n = len(r["embedding"])
            r["path"] = [f"a \"{rows + i}\"\tü.png" for i in range(n)]
            r["weight"], r["view"] = np.arange(rows, rows + n) / 4, np.arange(rows, rows + n, dtype="u2")
            r["pair"] = np.zeros((n, 2))
            rows += n
        if "end" in r: r = {"end": r["end"]}
        f.write(msgpack.packb(r, default=msgpack_numpy.encode))'
    classify $D --model m --format tsv --fields path,view,weight more >tsv
    [ "$(head -n 1 tsv)" = $'row\tlabel\tprediction\tscore\tprobability\tpath\tview\tweight' ]
    [ "$(sed -n 4p tsv | cut -f 6-)" = $'a "2"\\tü.png\t2\t0.5' ]
    classify $D --model m --format jsonl --fields path,view,weight more >jsonl
    jq -e '.path == "a \"\(.row)\"\tü.png" and .view == .row and .weight == .row / 4' jsonl >/dev/null
    cmp <(cut -f -5 tsv) <(classify $D --model m --format tsv test)
    run -1 classify $D --model m --format tsv --fields pair more
    [[ $output == *"no field 'pair' of one text or number a row"* ]]
    run -1 classify $D --model m --format tsv --fields nothing more
    run -2 classify $D --model m --fields path more
}

@test "tsv and jsonl say the same" {
    classify $D --model m --format tsv --top 3 test >tsv
    classify $D --model m --format jsonl --top 3 test >jsonl
    [ "$(wc -l <tsv)" -eq 31 ] && [ "$(wc -l <jsonl)" -eq 30 ]
    jq -r '[.row, .label, (.top[] | .class, .score, .probability)] | @tsv' jsonl >from-json
    tail -n +2 tsv | awk -F'\t' -v OFS='\t' '{ for (i = 3; i <= NF; i += 3) { $(i+1) += 0; $(i+2) += 0 } print }' |
        diff - <(awk -F'\t' -v OFS='\t' '{ for (i = 3; i <= NF; i += 3) { $(i+1) += 0; $(i+2) += 0 } print }' from-json)
    jq -e '.prediction == .top[0].class and ([.top[].probability] | add > 0.999 and add < 1.001)' jsonl >/dev/null
}

@test "streams with other classes one after the other" {
    made y,b 5 16 3 >more
    cat test more | classify $D --model m --format tsv | cut -f2 | tail -n +2 | sort | uniq -c | tr -s ' ' >got
    printf ' 10 a\n 5 b\n 10 c\n 10 x\n 5 y\n' | diff - got
    cat test more | classify $D --model m -o out
    classify $D --model m test more -o same
    cmp out same
    score out | grep -q "unknown_rows *15"
}

@test "rows without labels" {
    "$PYTHON" - >bare <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy
w = lambda r: sys.stdout.buffer.write(msgpack.packb(r, default=msgpack_numpy.encode))
w({"tensor-stream": 1, "classes": []})
w({"embedding": numpy.eye(16, dtype=numpy.float32), "name": numpy.arange(16)})
w({"end": 16})
PYTHON
    classify $D --model m --format jsonl bare | head -1 | jq -e '.label == null' >/dev/null
    classify $D --model m bare | grep -q name
}

@test "wrong input: one line, nothing left behind" {
    made a,b 5 8 >narrow
    fails 1 "8 numbers" classify $D --model m narrow -o none
    fails 1 "m: a model, not records" classify $D --model m m -o none
    fails 2 "which model" classify $D test -o none
    fails 2 "3 classes" classify $D --model m --top 4 test -o none
    fails 2 "not xml" classify $D --model m --format xml test -o none
    fails 1 "" classify $D --model test test -o none
    fails 1 "" classify $D --model missing test -o none
    head -c 900 test >cut
    fails 1 "" classify $D --model m cut -o none
    fails 1 "" classify $D --model m /dev/null -o none
    fails 1 "" classify $D --model m test -o /dev/full
    leaves_nothing none
}

@test "--unknown rejects rows under a score, or the share of known rows that auto names" {
    classify $D --model m --format tsv test >plain.tsv
    middle=$(cut -f4 plain.tsv | sed 1d | sort -g | sed -n '15,16p' | awk '{s += $1} END {print s / 2}')
    classify $D --model m --unknown "$middle" --format tsv test >tsv
    awk -F'\t' -v t="$middle" 'NR > 1 && (($3 == "unknown") != ($4 < t)) {exit 1}' tsv
    [ "$(cut -f3 tsv | grep -c unknown)" -ge 10 ]
    classify $D --model m --unknown "$middle" --format jsonl test | jq -e -s '[.[] | select(.prediction == null)] | length >= 10'
    made a,b,c 400 16 3 >many
    imprint --quiet $D many -o whole
    made a,b,c 400 16 4 >more
    classify $D --model whole --unknown auto:0.2 more 2>said | score --format json >json
    jq -e '.rejected_known > 0.13 and .rejected_known < 0.27' json # within a third of what was asked for
    grep -q 'best score under' said
    classify $D --model whole --unknown auto:0.2 test 2>/dev/null | score --format json 2>/dev/null |
        jq -e '.rejected_unknown > 0.9 and .auroc > 0.9'
}

@test "a class called unknown is told from rejected rows" {
    model-edit --rename a=unknown m >named
    middle=$(classify $D --model m --format tsv test | cut -f4 | sed 1d | sort -g | sed -n 10p)
    classify $D --model m --unknown "$middle" --format tsv test | cut -f3 >plain
    classify $D --model named --unknown "$middle" --format tsv test 2>said | cut -f3 >got
    grep -q "rejected rows are called (unknown)" said
    cmp got <(sed 's/^unknown$/(unknown)/; s/^a$/unknown/' plain)
    [ "$(grep -cx '(unknown)' got)" -ge 9 ] && grep -qx unknown got
    model-edit --rename 'b=(unknown)' named >both
    classify $D --quiet --model both --unknown "$middle" --format tsv test | cut -f3 >got
    cmp got <(sed 's/^unknown$/((unknown))/; s/^a$/unknown/; s/^b$/(unknown)/' plain)
}

@test "--unknown needs a number, and auto rows to go by" {
    run classify $D --model m --unknown much test
    [ "$status" -eq 2 ] && [ "${#lines[@]}" -eq 1 ]
    run classify $D --model m --unknown auto:2 test
    [ "$status" -eq 2 ] && [ "${#lines[@]}" -eq 1 ]
    without_sample m bare
    run classify $D --model bare --unknown auto:0.1 test -o none
    [ "$status" -eq 1 ] && [[ $output == *"keeps no rows"* ]] && [ ! -e none ]
    # One row a class says nothing of how high others of it score.
    class-filter --keep 0-2 --per-class 1 train | imprint --quiet $D -o shot
    run classify $D --model shot --unknown auto:0.1 test -o none
    [ "$status" -eq 1 ] && [[ $output == *"one row"* ]] && [ ! -e none ]
}

@test "scores are logarithms of probabilities, whatever the method" {
    made a,b,c,d 300 8 5 >many
    class-filter --per-class 12 --keep 0-3 many >few
    for how in "" "--method mean" "--method proxies --proxies 3" "--method mean --no-calibrate"; do
        imprint --quiet $D $how few -o some
        classify $D --model some many | score --format json >"json$how"
    done
    # The loss is about as low as one temperature can make it, and never above that of a guess.
    "$PYTHON" - <<'PYTHON'
import json, math
loss = {h: json.load(open("json" + h))["loss"] for h in ("", "--method mean", "--method proxies --proxies 3", "--method mean --no-calibrate")}
assert all(x < math.log(4) for x in loss.values()), loss
assert loss["--method mean"] < loss["--method mean --no-calibrate"] + 0.02, loss
PYTHON
}

@test "what steers a terminal in a class's name is spelt out, in tsv and in score's table" {
    "$PYTHON" -c '
import sys, msgpack_numpy, numpy
def out(record): sys.stdout.buffer.write(msgpack_numpy.packb(record))
out({"tensor-stream": 1, "classes": ["red \u009b31m", "left \u202egpj.exe"]})
out({"embedding": numpy.eye(2, 4, dtype="f4"), "label": numpy.arange(2)})
out({"end": 2})' >rows
    imprint --quiet rows -o named
    classify $D --model named --format tsv rows >tsv
    [ "$(cut -f 2 tsv | sed -n 2p)" = 'red \u009b31m' ]
    [ "$(cut -f 3 tsv | sed -n 3p)" = 'left \u202egpj.exe' ]
    classify $D --model named rows | score >table
    [ "$(grep -cF 'red \u009b31m' table)" -eq 2 ]
    ! LC_ALL=C grep -qP '\xc2\x9b|\xe2\x80\xae' tsv table
}
