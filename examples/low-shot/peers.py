#!/usr/bin/python3
"""peers.py: imprint as it comes beside scikit-learn's classifiers, on embeddings from anywhere.

usage: peers.py [--base K:ROWS] [--model FILE] [--draws N] [--shots LIST] [--keep DIR] [--anew] SET.npz...
       peers.py --tell FILE.json...
       peers.py --curves FILE.json...

A set holds `xtr` and `xte` [rows, numbers], `ytr` and `yte` [rows]: embeddings and labels 0, 1, ... Without --base all
classes are imprinted from n rows each, and the table has the accuracy on the test rows; with it K classes, others in
each draw, are imprinted as base ones from ROWS rows each (0: all), the rest from n, and the table has the harmonic mean
of base and novel accuracy. With --model too the K base classes are those, in the same order, that the network of this
model was trained on, and come with it; the peers have ROWS rows of each. Means over draws with Student's 95 % interval
of the default's; "all" is all rows, in one draw where there is nothing to draw. Below each table the expected
calibration error and the loss of imprint's probabilities, and what --explain expected, beside what cross-validation of
ridge expects where all are imprinted; below all, what they come to.
--keep writes the figures of each set to a file in DIR from column to column, and goes on from one that is there; with
--anew imprint is measured again in the columns that it has, the peers are not. --tell prints such files as one,
--curves the means over tables by shots, for embeddings.gp: lines of whether base classes are beside, method, shots,
and their place. The tools are looked for in ../../bin, or in $BIN. Needs Debian's python3-sklearn and
python3-msgpack-numpy.

  mean      the normalised mean of the normalised rows: the paper's imprinting
  cl2n      the same after the mean of the shots is taken away (Wang et al.: SimpleShot, 2019)
  ridge     RidgeClassifierCV, balanced, 13 penalties
  logistic  LogisticRegression, balanced, its C by cross-validation from three shots on
  lda       LinearDiscriminantAnalysis with Ledoit and Wolf's shrinkage, equal priors
  knn       the nearest row; from ten shots on a vote of five
  ranpac    ridge over relu of 2,000 random projections
  proxies   the best of four spherical k-means a class
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings

import msgpack
import msgpack_numpy
import numpy as np
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier

warnings.filterwarnings("ignore")
BIN = os.path.join(os.environ.get("BIN") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bin"), "")
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def class_means(x, y):
    return np.stack([x[y == c].mean(0) for c in range(y.max() + 1)])


# ---- the peers: scores or one-hot votes of test rows -----------------------------------------------------

def mean(x, y, t):
    return t @ unit(class_means(x, y)).T


def cl2n(x, y, t):
    return mean(unit(x - x.mean(0)), y, unit(t - x.mean(0)))


def scores_of(made, t):
    s = made.decision_function(t)
    return s if s.ndim == 2 else np.stack([-s, s], 1)


def ridge(x, y, t):
    return scores_of(RidgeClassifierCV(np.logspace(-3, 3, 13), class_weight="balanced").fit(x, y), t)


def crossed(x, y):
    """The accuracy that ten-fold cross-validation expects of ridge; nan where a class has fewer rows."""
    if np.bincount(y).min() < FOLDS or len(y) > 3000:
        return np.nan
    right = 0
    for fold in range(FOLDS):
        out = np.zeros(len(y), bool)
        for c in np.unique(y):
            out[np.where(y == c)[0][fold::FOLDS]] = True
        right += (ridge(x[~out], y[~out], x[out]).argmax(1) == y[out]).sum()
    return right / len(y)


def logistic(x, y, t):
    fewest = np.bincount(y).min()
    if fewest < 3 or len(y) > 3000:
        made = LogisticRegression(C=10, class_weight="balanced", max_iter=200)
    else:
        made = LogisticRegressionCV(Cs=np.logspace(-1, 3, 5), cv=3, class_weight="balanced", max_iter=200)
    return scores_of(made.fit(x, y), t)


def lda(x, y, t):
    if len(y) <= y.max() + 1:
        return mean(x, y, t)
    classes = y.max() + 1
    made = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes))
    return scores_of(made.fit(x, y), t)


def knn(x, y, t):
    made = KNeighborsClassifier(1 if np.bincount(y).min() < 10 else 5, metric="cosine").fit(x, y)
    return np.eye(y.max() + 1)[made.predict(t)]


def ranpac(x, y, t):
    p = np.random.default_rng(7).standard_normal((x.shape[1], 2000)) / np.sqrt(2000)
    return ridge(np.maximum(x @ p, 0), y, np.maximum(t @ p, 0))


def proxies(x, y, t):
    best = []
    for c in range(y.max() + 1):
        rows = x[y == c]
        k = min(4, max(1, len(rows) // 2))
        centres = KMeans(k, n_init=1, random_state=0).fit(rows).cluster_centers_ if k > 1 else rows.mean(0)[None]
        best.append((t @ unit(centres).T).max(1))
    return np.stack(best, 1)


PEERS = [mean, cl2n, ridge, logistic, lda, knn, ranpac, proxies]
NAMES = [p.__name__ for p in PEERS]
FOLDS = 10
CHECKS = ["calibration error", "loss", "base accuracy", "expected", "novel accuracy", "expected"]


# ---- imprint ---------------------------------------------------------------------------------------------

def write(path, x, y, names):
    with open(path, "wb") as f:
        for r in [{"tensor-stream": 1, "classes": names}] + [
                {"embedding": np.ascontiguousarray(x[i:i + 4096], "f4"), "label": y[i:i + 4096].astype("i4")}
                for i in range(0, len(x), 4096)] + [{"end": len(x)}]:
            f.write(msgpack.packb(r, default=msgpack_numpy.encode))


def tool(*words):
    done = subprocess.run([BIN + words[0], *words[1:]], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stderr


def default(x, y, t, base, model):
    """Scores of test rows in the order of names, and the accuracies that were expected."""
    names = ["c%d" % c for c in range(y.max() + 1)]
    if model:
        with open(model, "rb") as f:
            names[:base] = next(msgpack.Unpacker(f, max_buffer_size=0))["classes"]
    with tempfile.TemporaryDirectory() as d:
        write(d + "/test", t, np.zeros(len(t)), names)
        words = []
        if model:
            words = ["--model", model]
        elif base:
            write(d + "/base", x[y < base], y[y < base], names)
            tool("imprint", "--as", "base", d + "/base", "-o", d + "/base.model")
            words = ["--model", d + "/base.model"]
        write(d + "/shots", x[y >= base], y[y >= base], names)
        said = tool("imprint", "--explain", *words, d + "/shots", "-o", d + "/model")
        tool("classify", "--quiet", "--model", d + "/model", d + "/test", "-o", d + "/out")
        with open(d + "/out", "rb") as f:
            records = list(msgpack.Unpacker(f, object_hook=msgpack_numpy.decode, max_buffer_size=0))
    scores = np.concatenate([r["score"] for r in records if "score" in r]).astype("f8")
    order = [records[0]["classes"].index(n) for n in names]
    expected = re.search(r"base (\S+), novel (\S+)", said).groups()
    return scores[:, order], [float(e) if e != "unknown" else np.nan for e in expected]


# ---- figures -----------------------------------------------------------------------------------------------

def accuracies(scores, y, base):
    right = scores.argmax(1) == y
    return right[y < base].mean() if base else np.nan, right[y >= base].mean()


def figure(scores, y, base):
    b, n = accuracies(scores, y, base)
    return n if not base else 2 * b * n / (b + n) if b + n > 0 else 0


def calibration(scores, y):
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    top, right, error = p.max(1), p.argmax(1) == y, 0
    for low in np.arange(15) / 15:
        rows = (top > low) & (top <= low + 1 / 15)
        error += abs(top[rows].sum() - right[rows].sum()) / len(y)
    return error, -np.log(np.maximum(p[np.arange(len(y)), y], 1e-30)).mean()


def draw(y, of, n, random):
    return np.concatenate([random.permutation(np.where(y == c)[0])[:n or None] for c in of])


def columns_of(path, base, rows, model, shots, draws, done, anew):
    """The figures of a set by shots, those of `done` as they are, but for imprint's where `anew`; yields all so far after
    each column."""
    data = np.load(path)
    x, t = unit(data["xtr"].astype("f8")), unit(data["xte"].astype("f8"))
    y, yt = data["ytr"].astype(int), data["yte"].astype(int)
    classes, found = y.max() + 1, dict(done)
    most = np.bincount(y)[base if model else 0:].max()
    for n in shots:
        if n != "all" and int(n) >= most or n in found and not anew:
            continue
        column = {row: of for row, of in found.get(n, {}).items() if row not in ("imprint", "check")}
        peers = [] if column else PEERS
        for d in range(1 if n == "all" and (model or not base) else draws):
            random = np.random.default_rng(d)
            rank = random.permutation(classes) if base and not model else np.arange(classes)
            z, zt = rank[y], rank[yt]
            take = draw(z, range(base, classes), 0 if n == "all" else int(n), random)
            if base:
                take = np.concatenate([draw(z, range(base), rows, random), take])
            scores, expected = default(x[take], z[take], t, base, model)
            b, a = accuracies(scores, zt, base)
            column.setdefault("imprint", []).append(figure(scores, zt, base))
            column.setdefault("check", []).append([*calibration(scores, zt), b, expected[0], a, expected[1]])
            if peers and not base:
                column.setdefault("crossed", []).append(crossed(x[take], z[take]))
            for peer in peers:
                column.setdefault(peer.__name__, []).append(figure(peer(x[take], z[take], t), zt, base))
        found[n] = column
        print(path, n, file=sys.stderr)
        yield found


def title_of(path, base, rows, model):
    with np.load(path) as data:
        y, test = data["ytr"].astype(int), len(data["yte"])
    classes, counts = y.max() + 1, np.bincount(y)
    novel = counts[base if model else 0:]
    of = "%d" % novel.max() if novel.max() == novel.min() else "%d to %d" % (novel.min(), novel.max())
    kind = "all %d classes" % classes
    if base:
        kind = "%d base classes%s of %s rows, %d novel ones" % (
            base, " that the network was trained on," if model else "", rows or "all", classes - base)
    return "%s: %s" % (os.path.basename(path)[:-4], kind), "%s rows a class, %d to test on" % (of, test)


def measure(path, o):
    """A set's figures; with --keep they are in a file from column to column, and an interrupted run goes on there."""
    base, rows = map(int, o.base.split(":"))
    title, size = title_of(path, base, rows, o.model)
    made = {"title": title, "size": size, "base": base, "columns": {}}
    kept = o.keep and os.path.join(o.keep, re.sub(r"[^a-z0-9]+", "-", title.split(",")[0].lower()) + ".json")
    if kept and os.path.exists(kept):
        with open(kept) as f:
            made = json.load(f)
        if (made["title"], made["size"]) != (title, size):
            sys.exit("%s: the figures of another set" % kept)
    for made["columns"] in columns_of(path, base, rows, o.model, o.shots.split(","), o.draws, made["columns"], o.anew):
        if kept:
            with open(kept + ".part", "w") as f:
                json.dump(made, f)
            os.replace(kept + ".part", kept)
    return made


# ---- what is printed -----------------------------------------------------------------------------------------

def mean_of(column, row):
    return float(np.mean(column[row]))


def best_peer(column):
    return max(mean_of(column, p) for p in NAMES)


def columns_in_order(table):
    return sorted(table["columns"].items(), key=lambda c: float("inf") if c[0] == "all" else int(c[0]))


def print_table(table):
    columns = columns_in_order(table)
    print("\n### %s\n\n%s.\n" % (table["title"], table["size"]))
    print("| shots | " + " | ".join(n for n, _ in columns) + " |\n| --- |" + " --- |" * len(columns))
    for row in ["imprint"] + NAMES:
        cells = []
        for _, c in columns:
            cell, draws = "%.3f" % mean_of(c, row), len(c[row])
            if row == "imprint" and draws > 1:
                cell += " ± %.3f" % interval(c[row])
            cells.append(cell)
        print("| %s | " % row + " | ".join(cells) + " |")
    print("| less the best peer | "
          + " | ".join("%+.3f" % (mean_of(c, "imprint") - best_peer(c)) for _, c in columns) + " |")
    for k, row in enumerate(CHECKS):
        if table["base"] or k not in (2, 3):
            print("| %s | " % row + " | ".join("%.3f" % check(c, k) for _, c in columns).replace("nan", "-") + " |")
    crosses = [np.mean(c.get("crossed", np.nan)) for _, c in columns]
    if not np.isnan(crosses).all():
        print("| ridge, expected by ten folds | " + " | ".join("%.3f" % c for c in crosses).replace("nan", "-") + " |")


def check(column, k):
    return float(np.mean([row[k] for row in column["check"]]))


def interval(numbers):
    """Half of Student's 95 % interval of their mean."""
    return STUDENT[len(numbers)] * np.std(numbers, ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else 0


def difference(column, k):
    """The expected accuracy (k + 1) less the true one (k), and its interval over the draws."""
    less = [row[k + 1] - row[k] for row in column["check"]]
    return float(np.mean(less)), interval(less)


def print_sum(what, tables):
    """What some tables come to: each way's mean over all columns, and where the default is not among the best."""
    every = [(t["title"].split(":")[0], n, c) for t in tables for n, c in columns_in_order(t)]
    means = {k: np.mean([mean_of(c, k) for _, _, c in every]) for k in ["imprint"] + NAMES}
    single = max(NAMES, key=means.get)
    less = [mean_of(c, "imprint") - best_peer(c) for _, _, c in every]
    print("\n### %s\n" % what)
    print("| " + " | ".join(means) + " |\n|" + " --- |" * len(means))
    print("| " + " | ".join("%.3f" % m for m in means.values()) + " |\n")
    print("Mean over %d columns of %d tables. imprint less the best single other way, %s: %+.3f; "
          "less the best of the eight in each column: %+.3f." % (len(every), len(tables), single, means["imprint"] - means[single], np.mean(less)))
    worse = ["%s at %s (%+.3f)" % (name, n, b) for (name, n, _), b in zip(every, less) if b < -0.01 - 1e-9]
    print("Within 0.01 of the best of the eight, or above, in %d of %d%s." % (
        len(every) - len(worse), len(every), "; not in " + ", ".join(worse) if worse else ""))
    for k, kind in ((4, "novel"), (2, "base")):
        told = [(name, n, *difference(c, k)) for name, n, c in every if check(c, k + 1) >= 0]
        off = ["%s at %s (%+.3f ± %.3f)" % t for t in told if abs(t[2]) > 0.05]
        sure = sum(abs(t[2]) - t[3] > 0.05 for t in told)
        if told:
            print("Expected %s accuracy less the true one: mean %+.3f, over 0.05 off in %d of %d, by more than the draws' "
                  "interval in %d%s." % (kind, np.mean([t[2] for t in told]), len(off), len(told), sure,
                                         ": " + ", ".join(off) if off else ""))
    for kind, of in (("one and two shots", ("1", "2")), ("more", None)):
        errors = [(check(c, 0), name, n) for name, n, c in every if (n in ("1", "2")) == (of is not None)]
        if errors:
            print("Calibration error, %s: mean %.3f, over 0.05 in %d of %d, most %.3f (%s at %s)." % (
                kind, np.mean([e[0] for e in errors]), sum(e[0] > 0.05 for e in errors), len(errors), *max(errors)))


def print_all(tables):
    for t in tables:
        print_table(t)
    alone, beside = [t for t in tables if not t["base"]], [t for t in tables if t["base"]]
    for what, some in (("All imprinted", alone), ("Base and novel", beside), ("Everything", tables)):
        if some and (some is not tables or alone and beside):
            print_sum(what, some)


def print_curves(tables):
    """Means over the tables that have all of these numbers of shots."""
    for base in False, True:
        some = [t["columns"] for t in tables if bool(t["base"]) == base]
        shots = [n for n in ("1", "2", "5", "10", "20") if any(n in t for t in some)]
        some = [t for t in some if all(n in t for n in shots)]
        for row in ["imprint"] + NAMES:
            for place, n in enumerate(shots):
                print("%d\t%s\t%s\t%d\t%.4f" % (base, row, n, place, np.mean([mean_of(t[n], row) for t in some])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="0:0", metavar="K:ROWS")
    parser.add_argument("--model", metavar="FILE")
    parser.add_argument("--draws", type=int, default=5, choices=STUDENT)
    parser.add_argument("--shots", default="1,2,5,10,20,30,100,all")
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--tell", action="store_true")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("sets", nargs="+", metavar="SET")
    o = parser.parse_args()
    tables = []
    for s in o.sets:
        if o.tell or o.curves:
            with open(s) as f:
                tables.append(json.load(f))
        else:
            tables.append(measure(s, o))
    if o.curves:
        print_curves(tables)
    else:
        print_all(tables)


if __name__ == "__main__":
    main()
