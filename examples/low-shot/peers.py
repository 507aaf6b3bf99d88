#!/usr/bin/python3
"""peers.py: imprint as it comes beside scikit-learn's classifiers, on embeddings from anywhere.

usage: peers.py [--base K:ROWS] [--model FILE] [--draws N] [--shots LIST] SET.npz...

A set holds `xtr` and `xte` [rows, numbers], `ytr` and `yte` [rows]: embeddings and labels 0, 1, ... Without --base all
classes are imprinted from n rows each, and the table has the accuracy on the test rows; with it K classes, others in
each draw, are imprinted as base ones from ROWS rows each (0: all), the rest from n, and the table has the harmonic mean
of base and novel accuracy. With --model too the K base classes are those, in the same order, that the network of this
model was trained on, and come with it; the others have ROWS rows of each. Means over draws with Student's 95 % interval of the default's. Below each table the expected
calibration error and the loss of imprint's probabilities, and what --explain expected. The tools are looked for in
../../bin. Needs Debian's python3-sklearn and python3-msgpack-numpy.

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
BIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bin/")
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


def measure(path, base, rows, model, shots, draws):
    data = np.load(path)
    x, t = unit(data["xtr"].astype("f8")), unit(data["xte"].astype("f8"))
    y, yt = data["ytr"].astype(int), data["yte"].astype(int)
    classes, table = y.max() + 1, {}
    for n in shots:
        if n > np.bincount(y).max():
            continue
        found = {}
        for d in range(draws):
            random = np.random.default_rng(d)
            rank = random.permutation(classes) if base and not model else np.arange(classes)
            z, zt = rank[y], rank[yt]
            take = draw(z, range(base, classes), n, random)
            if base:
                take = np.concatenate([draw(z, range(base), rows, random), take])
            scores, expected = default(x[take], z[take], t, base, model)
            found.setdefault("imprint", []).append(figure(scores, zt, base))
            b, a = accuracies(scores, zt, base)
            found.setdefault("check", []).append([*calibration(scores, zt), b, expected[0], a, expected[1]])
            for peer in PEERS:
                found.setdefault(peer.__name__, []).append(figure(peer(x[take], z[take], t), zt, base))
        table[n] = found
        print(path, n, file=sys.stderr)
    name = os.path.basename(path)[:-4]
    print("\n### %s%s\n" % (name, ": %d base classes%s, %d novel ones" % (
        base, " that the network was trained on" if model else " of %d rows" % rows, classes - base) if base else ": all %d classes" % classes))
    print("| shots | " + " | ".join(map(str, table)) + " |\n| --- |" + " --- |" * len(table))
    for row in ["imprint"] + [p.__name__ for p in PEERS]:
        cells = []
        for found in table.values():
            cell = "%.3f" % np.mean(found[row])
            if row == "imprint" and draws > 1:
                cell = "%s ± %.3f" % (cell, STUDENT[draws] * np.std(found[row], ddof=1) / np.sqrt(draws))
            cells.append(cell)
        print("| %s | " % row + " | ".join(cells) + " |")
    best = [np.mean(f["imprint"]) - max(np.mean(f[p.__name__]) for p in PEERS) for f in table.values()]
    print("| less the best peer | " + " | ".join("%+.3f" % b for b in best) + " |")
    for k, row in enumerate(["calibration error", "loss", "base accuracy", "expected", "novel accuracy", "expected"]):
        if base or k not in (2, 3):
            print("| %s | " % row + " | ".join("%.3f" % np.mean([c[k] for c in f["check"]])
                                               for f in table.values()).replace("nan", "-") + " |")
    return {n: {k: np.mean(v) for k, v in f.items() if k != "check"} for n, f in table.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="0:0", metavar="K:ROWS")
    parser.add_argument("--model", metavar="FILE")
    parser.add_argument("--draws", type=int, default=5, choices=STUDENT)
    parser.add_argument("--shots", default="1,2,5,10,20,30,100")
    parser.add_argument("sets", nargs="+", metavar="SET.npz")
    o = parser.parse_args()
    base, rows = map(int, o.base.split(":"))
    tables = [measure(s, base, rows, o.model, [int(n) for n in o.shots.split(",")], o.draws) for s in o.sets]
    every = [f for t in tables for f in t.values()]
    print("\nOver all columns of %d sets, the mean: " % len(tables)
          + ", ".join("%s %.3f" % (k, np.mean([f[k] for f in every])) for k in every[0]) + ".")
    print("imprint is within 0.01 of the best of the eight, or above, in %d of %d columns."
          % (sum(f["imprint"] >= max(f.values()) - 0.01 for f in every), len(every)))


if __name__ == "__main__":
    main()
