#!/usr/bin/env bats
# score: its figures against NumPy's, its formats, and input that is wrong.

load common

setup() {
    common_setup
    need_python numpy
    need_python msgpack msgpack_numpy
}

# predictions FILE [FLAW]: 200 made-up rows over cat, dog (base), ship (novel), and with FLAW unknown*
# also frog, which the model does not know. Beside it FILE.json with the figures as NumPy has them.
predictions() {
    "$PYTHON" - "$@" <<'PYTHON'
import json, sys, msgpack, msgpack_numpy, numpy as np

path, flaw = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
unknown = flaw.startswith("unknown")
r = np.random.RandomState(3)
rows, classes = 200, 3
label = r.randint(0, classes + unknown, rows).astype("i4")
score = r.randn(rows, classes).astype("f4")
known = label < classes
score[known, label[known]] += 1.5
if flaw == "unknown-near": score = (0.9998 + 2e-5 * score).astype("f4")
prediction = score.argmax(1).astype("i4")
if flaw == "unknown-rejected":
    prediction[score.max(1) < 0.5] = -1

figures = {"rows": rows, "unknown_rows": int((~known).sum())}
right = prediction == label
base, novel = right[known & (label < 2)].mean(), right[label == 2].mean()
figures.update(base=base, novel=novel, all=right[known].mean(), harmonic_mean=2 * base * novel / (base + novel))
s = score.astype("f8")
figures["loss"] = np.mean((np.log(np.exp(s).sum(1)) - s[np.arange(rows), np.minimum(label, 2)])[known])
p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
top, hit = p.max(1)[known], right[known]
place = np.minimum((top * 15).astype(int), 14)
figures["calibration_error"] = sum(abs(hit[place == b].sum() - top[place == b].sum()) for b in range(15)) / known.sum()
quality = []
for c in range(classes):
    hits = (prediction[known] == c)[label[known] == c].sum()
    of, called = (label == c).sum(), (prediction[known] == c).sum()
    quality.append([hits / called, hits / of, 2 * hits / (of + called)])
figures.update(zip(["macro_precision", "macro_recall", "macro_f1"], np.mean(quality, 0)))
best = score.max(1)
if unknown:
    pairs = best[known][:, None] - best[~known][None]
    figures["auroc"] = (pairs > 0).mean() + (pairs == 0).mean() / 2
    figures["rejected_known"] = (prediction < 0)[known].mean()
    figures["rejected_unknown"] = (prediction < 0)[~known].mean()
json.dump({k: float(v) for k, v in figures.items()}, open(path + ".json", "w"))

header = {"tensor-stream": 1, "classes": ["cat", "dog", "ship"] + ["frog"] * unknown,
          "kinds": ["base", "base", "novel"]}
fields = {"label": label, "prediction": prediction, "score": score}
if flaw == "no-kinds": del header["kinds"]
if flaw == "no-novel": header["kinds"][2] = "base"
if flaw == "bad-kinds": header["kinds"] = ["old"]
if flaw == "other-kinds": header["kinds"] = ["base", "novel", "novel"]
if flaw == "no-label": del fields["label"]
if flaw == "no-prediction": del fields["prediction"]
if flaw == "no-score": del fields["score"]
if flaw == "float-prediction": fields["prediction"] = prediction.astype("f4")
if flaw == "large-prediction": prediction[17] = 3
if flaw == "large-label": label[17] = 9
if flaw == "nan": score[17, 1] = np.nan
if flaw == "narrow": fields["score"] = score[:, :2].copy()
with open(path, "wb") as f:
    pack = lambda o: f.write(msgpack.packb(o, default=msgpack_numpy.encode))
    pack(header)
    if flaw == "no-rows":
        rows = 0
    for at in range(0, rows, 64):
        pack({k: v[at:at + 64] for k, v in fields.items()})
    if flaw != "no-end":
        pack({"end": rows})
PYTHON
}

# same_figures JSON WANTED: every figure that NumPy has is the tool's, within rounding.
same_figures() {
    jq -e -n --slurpfile a "$1" --slurpfile b "$2" '
        [$b[0] | to_entries[] | select($a[0][.key] == null or (.value - $a[0][.key] | fabs) > 1e-12)]
        | if length == 0 then true else (., false) end'
}

@test "figures are NumPy's" {
    predictions p
    score --format json p >got
    same_figures got p.json
    jq -e '.auroc == null and .rejected_unknown == null and .classes == ["cat", "dog", "ship"]' got
    jq -e '.kinds == ["base", "base", "novel"]' got
}

@test "the report is scikit-learn's: precision, recall, f1-score, support and their means" {
    need_python numpy msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
with open("p", "wb") as f:    # class 3 is never right, 4 is neither there nor predicted, 6 is only predicted
    for r in ({"tensor-stream": 1, "classes": list("abcdefg"), "kinds": ["base"] * 7},
              {"label": np.array([0, 0, 0, 1, 1, 2, 3, 5], "i4"), "prediction": np.array([0, 0, 1, 1, -1, 2, 6, 5], "i4"),
               "score": np.array([[7, 6, 5, 4, 3, 2, 1]] * 8, "f4")}, {"end": 8}):
        f.write(msgpack_numpy.packb(r))
PYTHON
    score --format json p >got
    # sklearn.metrics.classification_report(label, prediction, labels=[0, 1, 2, 3, 5, 6], output_dict=True)
    jq -e 'def near(x): . - x | fabs < 1e-12;
        .report.a == {"precision": 1, "recall": (2 / 3), "f1-score": 0.8, "support": 3} and
        .report.b == {"precision": 0.5, "recall": 0.5, "f1-score": 0.5, "support": 2} and
        .report.d == {"precision": 0, "recall": 0, "f1-score": 0, "support": 1} and
        .report.g == {"precision": 0, "recall": 0, "f1-score": 0, "support": 0} and
        (."macro avg".precision | near(3.5 / 6)) and (."macro avg".recall | near((2 / 3 + 2.5) / 6)) and
        (."macro avg"."f1-score" | near(3.3 / 6)) and ."macro avg".support == 8 and
        (."weighted avg".precision | near(6 / 8)) and (."weighted avg".recall | near(5 / 8)) and
        (."weighted avg"."f1-score" | near(5.4 / 8)) and (.top5 | near(7 / 8)) and .macro_f1 == ."macro avg"."f1-score"' got
}

@test "per-class accuracy and confusion agree with the figures" {
    predictions p
    score --format json p >got
    jq -e '([.confusion[][]] | add) == .rows' got
    jq -e '([.confusion[0][0], .confusion[1][1], .confusion[2][2]] | add) / .rows - .all | fabs < 1e-6' got
    jq -e '.confusion[2][2] / (.confusion[2] | add) - .per_class.ship | fabs < 1e-6' got
    jq -e '(.per_class | keys) == ["cat", "dog", "ship"]' got
}

@test "rows of unknown classes are left out, counted and told of" {
    predictions p unknown
    score --format json p >got 2>said
    same_figures got p.json
    [ "$(jq .unknown_rows got)" -gt 0 ]
    grep -q 'frog' said
    jq -e '.rejected_known == 0' got
    score --quiet p 2>said >table
    [ ! -s said ]
    grep -q '^auroc ' table
}

@test "the AUROC is exact also for scores that are nearly the same" {
    predictions p unknown-near
    score --quiet --format json p >got
    same_figures got p.json
    jq -e '.auroc > 0.7' got
}

@test "rejected rows count as wrong, and their shares are told" {
    predictions p unknown-rejected
    score --quiet --format json p >got
    same_figures got p.json
    jq -e '.rejected_unknown > .rejected_known and .rejected_known > 0' got
}

@test "without novel classes there is no harmonic mean" {
    for flaw in no-novel no-kinds; do
        predictions p $flaw
        score --format json p >got
        jq -e '.novel == null and .harmonic_mean == null and .base == .all' got
        score p | grep -Eq '^novel +-$'
    done
}

@test "without scores there is no loss" {
    predictions p no-score
    score --format json p >got
    jq -e '.loss == null and .all > 0' got
}

@test "the table has every figure, every class and the confusion matrix" {
    predictions p
    score p >table
    for word in rows base novel all harmonic_mean loss; do grep -Eq "^$word +[0-9.]+$" table; done
    grep -Eq '^2 +novel +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+  ship$' table
    grep -q '^confusion' table
    ! grep -qE 'auroc|all_rows' table
}

@test "the confusion matrix has the classes' names, in columns" {
    predictions p
    score p >table
    score --format json p >got
    sed '1,/^confusion/d' table >matrix
    [ "$(head -n 1 matrix | xargs)" = "0 1 2" ]
    for c in 0 1 2; do
        want=$(jq -r "\"$c \" + .classes[$c] + \" \" + (.confusion[$c] | map(tostring) | join(\" \"))" got)
        [ "$(sed -n "$((c + 2))p" matrix | xargs)" = "$want" ]
    done
    [ "$(awk '{ print length }' matrix | sort -u | wc -l)" -eq 1 ]
}

@test "all_rows counts rows of unknown classes as wrong; only classes with such rows are named" {
    predictions p unknown
    score --format json p >got 2>said
    jq -e '(.all_rows - .all * (.rows - .unknown_rows) / .rows | fabs) < 1e-6 and .all_rows < .all' got
    grep -Eq ': frog$' said
    score --quiet p | grep -q '^all_rows '
    # The input's list may have more classes than its rows.
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy
records = list(msgpack.Unpacker(open("p", "rb"), object_hook=msgpack_numpy.decode))
records[0]["classes"] += ["newt", "toad"]
open("more", "wb").write(b"".join(map(msgpack_numpy.packb, records)))
PYTHON
    score --format json more 2>said | cmp - got
    grep -Eq ': frog$' said
}

@test "--by gives two lines of tab separated values" {
    predictions p
    score --by base,novel,all p >got
    [ "$(wc -l <got)" -eq 2 ]
    [ "$(head -n 1 got)" = $'base\tnovel\tall\tharmonic_mean' ]
    [ "$(sed -n 2p got | cut -f 3)" = "$(printf %.4f "$(jq .all p.json)")" ]
    score --by " base, novel ,all" p | cmp - got
    fails 2 "all" score --by "base,novel all" p
    [ "$(score --by loss,auroc p | sed -n 2p | cut -f 2)" = - ]
}

@test "predictions of one model join, those of another do not" {
    predictions p
    predictions q unknown
    predictions other other-kinds
    [ "$(cat p p | score --by rows | tail -n 1)" -eq 400 ]
    [ "$(score --quiet --by rows p q | tail -n 1)" -eq 400 ]
    fails 1 "predictions of a model with other classes" score p other
}

@test "runs: mean and interval" {
    echo '{"rows": 10, "base": 0.5, "novel": null, "all": 0.1}' >a
    echo '{"rows": 10, "base": 0.6, "novel": 0.5, "all": 0.2}' >b
    echo '{"rows": 10, "base": 0.7, "novel": 0.7, "all": 0.6}' >c
    score --runs --format json a b c >got
    jq -e '.runs == 3 and .base.runs == 3 and .novel.runs == 2 and .loss == null' got
    jq -e '.base.mean - 0.6 | fabs < 1e-9' got
    # Half the width: t(2) s / sqrt(3) = 4.302653 * 0.1 / 1.7320508
    jq -e '.base.high - 0.6 - 0.2484138 | fabs < 1e-6' got
    # and for two runs t(1) = 12.706205, s = 0.1414214
    jq -e '.novel.mean - .novel.low - 1.2706205 | fabs < 1e-6' got
    score --runs a b c | grep -Eq '^base +3 +0.6000 +0.3516 +0.8484$'
    [ "$(score --runs --by all a | tail -n 1)" = $'all\t1\t0.1000\t-\t-' ]
}

@test "runs: what is no result of score" {
    echo '{"rows": 10' >cut
    echo '[1, 2]' >list
    echo '{"x": 1}' >other
    : >empty
    fails 1 "cut: line" score --runs cut
    fails 1 "list: holds none" score --runs list
    fails 1 "other: holds none" score --runs other
    fails 1 "empty: line" score --runs empty
    fails 1 "missing" score --runs missing
    fails 2 "--runs needs" score --runs
}

@test "input that is wrong" {
    for case in "no-label:'label'" "no-prediction:'prediction'" "float-prediction:'prediction'" \
        "large-prediction:prediction 3" "large-label:9" "nan:'score'" "narrow:2 columns" "bad-kinds:'kinds'" \
        "no-rows:no rows" "no-end:end"; do
        predictions p "${case%%:*}"
        fails 1 "${case#*:}" score -o out p
        leaves_nothing out
    done
    predictions p
    head -c 2000 p >cut
    fails 1 "cut" score -o out cut
    leaves_nothing out
    : >empty
    fails_with empty 1 "empty" score -o out
    fails 1 "missing" score missing
    echo "not a stream at all" >text
    fails 1 "text" score text
}

@test "wrong usage and a full disk" {
    predictions p
    fails 2 "'bas'" score --by bas p
    fails 2 "xml" score --format xml p
    fails 2 "exclude" score --format json --by all p
    run score --colour p
    [ "$status" -eq 2 ]
    score p >/dev/full 2>said && false
    [ "$(wc -l <said)" -eq 1 ]
    echo old >out
    predictions bad nan
    score -o out bad 2>/dev/null && false
    [ "$(cat out)" = old ]
    score -o out p
    grep -q '^all ' out
}

@test "memory does not grow with rows" {
    need_no_sanitizer
    predictions p
    for i in $(seq 64); do cat p; done >many
    for i in $(seq 20); do cat many; done | (
        ulimit -v 300000
        score --by rows
    ) >got
    [ "$(tail -n 1 got)" -eq 256000 ]
}

# Fifty rows of three classes with hostile names, and pictures: 30 right with 0.9, 20 wrong with 0.4 to 0.59.
html_records() {
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
label = np.arange(50) % 3
top = np.where(np.arange(50) < 30, .9, .4 + .01 * (np.arange(50) - 30))
prediction = np.where(np.arange(50) < 30, label, (label + 1) % 3)
p = np.repeat(((1 - top) / 2)[:, None], 3, 1)
p[np.arange(50), prediction] = top
image = np.zeros((50, 40, 300, 3), "u1")
image[:] = np.arange(50)[:, None, None, None] * 5
with open("p", "wb") as f:
    for r in ({"tensor-stream": 1, "classes": ["<script>alert(1)</script>", "a&b", 'q"\'q'], "kinds": ["base", "base", "novel"]},
              {"label": label.astype("i4"), "prediction": prediction.astype("i4"), "score": np.log(p).astype("f4"),
               "image": image, "path": [f"far/away/<b>{i}.png" for i in range(50)]}, {"end": 50}):
        f.write(msgpack_numpy.packb(r))
PYTHON
}

@test "--html: one page, well formed, with the figures, the surest mistakes and their pictures" {
    need_python numpy msgpack_numpy PIL
    html_records
    score --html page.html p >table
    score p | diff - table
    "$PYTHON" - <<'PYTHON'
import base64, io, re
from html.parser import HTMLParser
import numpy as np
from PIL import Image
page = open("page.html", encoding="utf-8").read()
assert "<script" not in page and "<b>4" not in page and "http:" not in page and "https:" not in page
class Reader(HTMLParser):
    text, images, opened = "", [], []
    def handle_starttag(self, tag, attrs):
        if tag in ("div", "figure", "table", "svg", "span", "figcaption", "h1", "h2"): self.opened.append(tag)
        if tag == "img": self.images.append(dict(attrs)["src"])
    def handle_endtag(self, tag):
        if tag in ("div", "figure", "table", "svg", "span", "figcaption", "h1", "h2"): assert self.opened.pop() == tag, tag
    def handle_data(self, data): self.text += data
r = Reader()
r.feed(page)
assert not r.opened
assert "The surest 20 of 20" in r.text and "<script>alert(1)</script>" in r.text and 'q"\'q' in r.text
assert re.search(r"0\.600\s*accuracy", r.text), r.text[:300]
error = .6 * abs(1 - .9) + sum(.4 + .01 * i for i in range(20)) / 50   # 30 rows right at 0.9, 20 wrong
assert re.search(r"%.3f\s*calibration error" % error, r.text), (error, r.text[:300])
assert len(r.images) == 20
for i, source in enumerate(r.images):      # the surest, row 49, first; 40 x 300 in blocks of 3 x 3
    head, data = source.split(",")
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(data))))
    assert head == "data:image/png;base64" and picture.shape == (14, 100, 3) and (picture == (49 - i) * 5).all(), i
    assert f"away/<b>{49 - i}.png" in r.text and f"far/away" not in r.text
    assert f"{.59 - .01 * i:.2f}" in r.text
PYTHON
    echo old >page.html
    fails 2 "one run" score --runs --html page.html p
    fails 1 "nowhere" score --html nowhere/page.html p
    grep -qx old page.html
}

@test "--plot: a picture of confusion, accuracies and calibration, whatever the classes are called" {
    need_python numpy msgpack_numpy PIL
    command -v gnuplot || skip "needs gnuplot"
    html_records
    score --plot plot.png p >table
    score p | diff - table
    "$PYTHON" - <<'PYTHON'
import numpy as np
from PIL import Image
picture = np.array(Image.open("plot.png").convert("RGB")).astype(int)
def share(colour): return (abs(picture - colour).max(2) < 3).mean()
right = 255 + (.12 + .6 * 10 / 17) * (np.array([13, 115, 51]) - 255)   # labels 0 and 1: 10 of 17 right
assert min(share(np.round(right)), share([217, 130, 43]), share([74, 122, 181])) > .005
PYTHON
    # Nothing in a name is a command or the end of a text.
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
names = ["`touch ran`", "'.system('touch ran').'", 'a"b\\', "EOD", "!touch ran", "{/*9 x}^2", "\u732b", "$cells"]
for path, names in ("q", names), ("many", [f"c{i}" for i in range(300)]):
    label = np.arange(len(names) * 2) % len(names)
    with open(path, "wb") as f:
        for r in ({"tensor-stream": 1, "classes": names, "kinds": ["base"] * len(names)},
                  {"label": label.astype("i4"), "prediction": label[::-1].astype("i4")}, {"end": len(label)}):
            f.write(msgpack_numpy.packb(r))
PYTHON
    score --plot q.png q 2>said >/dev/null
    score --plot many.png many 2>>said >/dev/null
    [ ! -s said ]
    [ ! -e ran ]
    [ "$(head -c 4 q.png | tail -c 3)" = PNG ]
    [ "$(head -c 4 many.png | tail -c 3)" = PNG ]

    echo old >plot.png
    fails 2 "one run" score --runs --plot plot.png p
    fails 1 "nowhere" score --plot nowhere/plot.png p
    mkdir without failing
    printf '#!/bin/sh\n[ "$1" = --version ]\n' >failing/gnuplot
    chmod +x failing/gnuplot
    local score
    score=$(command -v score)
    PATH=$PWD/without "$score" --plot plot.png p 2>said || [ $? -eq 1 ]
    grep -q "there is no gnuplot; Debian's package is gnuplot-nox" said
    PATH=$PWD/failing:$PATH fails 1 "gnuplot failed" score --plot plot.png p
    grep -qx old plot.png
}
