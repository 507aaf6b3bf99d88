#!/usr/bin/python3
"""spread.py: what probabilities can go by where every class has one row (src/imprinting/ridge.c, USUAL_SPREAD).

usage: spread.py SET.npz...      sets as for peers.py: xtr, ytr, xte, yte

Draws one row of 2, 3, 5, 10 and all classes of each set, six times, scores the other rows as imprint's balanced ridge does,
and looks for the factor that gives the least cross-entropy, as a multiple of the one that does not know the spread. Prints
a line a set and number of classes: accuracy, spread, best multiple; cross-entropy and calibration error with the plain
factor, with the root of the spread, and at the best. Then, for each power of the spread: the constant that is best on all
sets but one, and what it gives on that one, on average. Needs Debian's python3-numpy."""
import os
import sys

import numpy as np

ONE_SHOT, LAMBDA, USUAL_SPREAD, DRAWS, ROWS = 0.75, 0.01, 16, 6, 1500
GRID = np.exp(np.linspace(np.log(.03), np.log(40), 50))


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def judge(scores, y, factor):
    """Cross-entropy and expected calibration error."""
    p = np.exp(factor * scores - (factor * scores).max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    sure, right = p.max(1), p.argmax(1) == y
    part = np.minimum((sure * 15).astype(int), 14)
    error = sum(abs(sure[part == k].mean() - right[part == k].mean()) * (part == k).mean() for k in np.unique(part))
    return np.array([-np.log(np.maximum(p[np.arange(len(y)), y], 1e-30)).mean(), error])


def draw(x, y, classes, random):
    """Scores of other rows by one row a class, their classes, the plain factor, the spread."""
    of = np.sort(random.choice(np.unique(y), classes, replace=False))
    shots = np.array([random.choice(np.where(y == c)[0]) for c in of])
    rest = np.isin(y, of)
    rest[shots] = False
    rest = random.permutation(np.where(rest)[0])[:ROWS]
    centre = x[shots].mean(0)
    m = x[shots] - centre
    between = m.T @ m / classes
    w = np.linalg.solve(between + LAMBDA * np.trace(between) * np.eye(x.shape[1]), m.T).T
    plain = ONE_SHOT * (1 + np.log(classes)) / ((m * w).sum() / (classes - 1))
    products, pairs = m @ m.T, classes * (classes - 1) / 2
    off = (products ** 2).sum() / np.trace(products) ** 2 - 1 / (classes - 1)
    return (x[rest] - centre) @ w.T, np.searchsorted(of, y[rest]), plain, (pairs + 1) / (pairs * max(off, 0) + 1 / USUAL_SPREAD)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = []
    print("| set | classes | accuracy | spread | best multiple | plain: loss, error | by the spread | at the best |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in sys.argv[1:]:
        data, name = np.load(path), os.path.basename(path)[:-4]
        x, y = unit(np.concatenate([data["xtr"], data["xte"]]).astype("f8")), np.concatenate([data["ytr"], data["yte"]])
        for classes in sorted({2, 3, 5, 10, len(np.unique(y))}):
            if classes > len(np.unique(y)):
                continue
            drawn = [draw(x, y, classes, np.random.default_rng(d)) for d in range(DRAWS)]
            curves = np.array([[judge(s, t, plain * f) for f in GRID] for s, t, plain, _ in drawn])
            best = GRID[curves[:, :, 0].argmin(1)]
            spreads = np.array([d[3] for d in drawn])
            found += [(name, c[:, 0], spread) for c, spread in zip(curves, spreads)]

            def mean_of(multiples):
                return "%.3f, %.3f" % tuple(np.mean([judge(s, t, p * f) for (s, t, p, _), f in zip(drawn, multiples)], 0))
            print("| %s | %d | %.3f | %.1f | %.2f | %s | %s | %s |" % (
                name, classes, np.mean([(s.argmax(1) == t).mean() for s, t, _, _ in drawn]), np.exp(np.log(spreads).mean()),
                np.exp(np.log(best).mean()), mean_of(np.ones(DRAWS)), mean_of(np.sqrt(spreads / USUAL_SPREAD)), mean_of(best)),
                flush=True)
    names = sorted({f[0] for f in found})
    print()
    for power in 0, .25, .5, .75, 1:
        losses = {n: np.mean([[np.interp(np.log(f * (s / USUAL_SPREAD) ** power), np.log(GRID), c) for f in GRID]
                              for of, c, s in found if of == n], 0) for n in names}
        left = [(GRID[k], losses[n][k]) for n in names
                for k in [int(sum(losses[o] for o in names if o != n).argmin()) if len(names) > 1 else 0]]
        print("power %.2f: the constant best on the other sets %.2f to %.2f, loss on the one left out %.3f"
              % (power, min(k for k, _ in left), max(k for k, _ in left), np.mean([v for _, v in left])))


if __name__ == "__main__":
    main()
