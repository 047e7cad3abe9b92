"""Means over rows of data, of which every call draws a few: f and gradient share the rows.

A batch of all rows is every row once, without noise. Rows of features are random, of scales 0.1 to 1.
"""

import numpy as np

from problems.problem import Problem, compiled
from problems.streams import drawn, stream


@compiled
def dot(w, row):
    """``w . row``."""
    total = 0.0
    for j in range(w.size):
        total += w[j] * row[j]
    return total


@compiled
def add(g, factor, row):
    """Add `factor` times `row` to g."""
    for j in range(g.size):
        g[j] += factor * row[j]


@compiled
def logistic(w, g, features, labels, ridge, batch, state):
    """``mean log(1 + exp(-label feature . w)) + ridge w . w / 2`` over `batch` random rows.

    `features` has shape (rows, n), `labels`, of shape (rows,), are -1 and 1.
    """
    f = 0.0
    g[:] = ridge * w
    for k in range(batch):
        i = drawn(k, batch, labels.size, state)
        margin = 0.0
        for j in range(w.size):
            margin += labels[i] * features[i, j] * w[j]
        # exp of what is negative only: it cannot overflow.
        small = np.exp(-abs(margin))
        f += np.log1p(small) + max(-margin, 0.0)
        slope = (small if margin > 0.0 else 1.0) / (1.0 + small)
        for j in range(w.size):
            g[j] -= slope * labels[i] * features[i, j] / batch
    return f / batch + 0.5 * ridge * np.sum(w * w)


@compiled
def poisson(w, g, features, counts, batch, state):
    """Poisson regression: ``mean exp(feature . w) - count feature . w``."""
    f = 0.0
    g[:] = 0.0
    for k in range(batch):
        i = drawn(k, batch, counts.size, state)
        s = dot(w, features[i])
        mean = np.exp(s)
        f += mean - counts[i] * s
        add(g, (mean - counts[i]) / batch, features[i])
    return f / batch


@compiled
def least_squares(w, g, features, targets, batch, state):
    """``mean (feature . w - target)**2 / 2``."""
    f = 0.0
    g[:] = 0.0
    for k in range(batch):
        i = drawn(k, batch, targets.size, state)
        r = dot(w, features[i]) - targets[i]
        f += 0.5 * r * r
        add(g, r / batch, features[i])
    return f / batch


@compiled
def robust(w, g, features, targets, width, batch, state):
    """Cauchy's loss: ``mean width**2 log(1 + (r / width)**2) / 2``, ``r = feature . w - target``."""
    f = 0.0
    g[:] = 0.0
    for k in range(batch):
        i = drawn(k, batch, targets.size, state)
        r = dot(w, features[i]) - targets[i]
        part = (r / width) ** 2
        f += 0.5 * width**2 * np.log1p(part)
        add(g, r / (1.0 + part) / batch, features[i])
    return f / batch


@compiled
def hinge(w, g, features, labels, batch, state):
    """A support vector machine: ``mean max(0, 1 - label feature . w)``."""
    f = 0.0
    g[:] = 0.0
    for k in range(batch):
        i = drawn(k, batch, labels.size, state)
        lack = 1.0 - labels[i] * dot(w, features[i])
        if lack > 0.0:
            f += lack
            add(g, -labels[i] / batch, features[i])
    return f / batch


@compiled
def quantile(w, g, features, targets, part, batch, state):
    """``mean max(part r, (part - 1) r)``, ``r = target - feature . w``: Koenker & Bassett (1978)."""
    f = 0.0
    g[:] = 0.0
    for k in range(batch):
        i = drawn(k, batch, targets.size, state)
        r = targets[i] - dot(w, features[i])
        slope = part if r > 0.0 else part - 1.0
        f += slope * r
        add(g, -slope / batch, features[i])
    return f / batch


@compiled
def phase_retrieval(w, g, features, squares, batch, state):
    """``mean ((feature . w)**2 - square)**2 / 4``."""
    f = 0.0
    g[:] = 0.0
    for k in range(batch):
        i = drawn(k, batch, squares.size, state)
        s = dot(w, features[i])
        r = s * s - squares[i]
        f += 0.25 * r * r
        add(g, r * s / batch, features[i])
    return f / batch


@compiled
def factorisation(x, g, entries, rank, ridge, batch, state):
    """``mean (a . b - value)**2 / 2 + ridge x . x / 2`` with rows a and b of a table, `rank` columns wide.

    `x` is the table, row by row; `entries`, of shape (rows, 3), have the numbers of two rows and the value.
    """
    f = 0.0
    g[:] = ridge * x
    for k in range(batch):
        i = drawn(k, batch, len(entries), state)
        a, b = int(entries[i, 0]) * rank, int(entries[i, 1]) * rank
        r = dot(x[a : a + rank], x[b : b + rank]) - entries[i, 2]
        f += 0.5 * r * r
        add(g[a : a + rank], r / batch, x[b : b + rank])
        add(g[b : b + rank], r / batch, x[a : a + rank])
    return f / batch + 0.5 * ridge * np.sum(x * x)


@compiled
def network(x, g, inputs, targets, ridge, batch, state):
    """``mean (y - target)**2 / 2 + ridge x . x / 2`` of a network with one layer of hyperbolic tangents.

    Each has in `x` its weights of the inputs, its bias and its weight in y; the bias of y comes last.
    """
    wide = inputs.shape[1]
    f, last = 0.0, x.size - 1
    g[:] = ridge * x
    for k in range(batch):
        i = drawn(k, batch, targets.size, state)
        r = x[last] - targets[i]
        for h in range(0, last, wide + 2):
            r += x[h + wide + 1] * np.tanh(dot(x[h : h + wide], inputs[i]) + x[h + wide])
        f += 0.5 * r * r
        g[last] += r / batch
        for h in range(0, last, wide + 2):
            t = np.tanh(dot(x[h : h + wide], inputs[i]) + x[h + wide])
            back = r * x[h + wide + 1] * (1.0 - t * t) / batch
            add(g[h : h + wide], back, inputs[i])
            g[h + wide] += back
            g[h + wide + 1] += r * t / batch
    return f / batch + 0.5 * ridge * np.sum(x * x)


@compiled
def mixture(x, g, values, batch, state):
    """Minus the mean log likelihood of normal distributions of one width.

    `x` has the logarithms of their weights, up to a common factor, their means, and that of the width.
    """
    parts = x.size // 2
    p = np.empty(parts)
    width = np.exp(x[-1])
    weights = np.exp(x[:parts] - np.max(x[:parts]))
    weights /= np.sum(weights)
    f = x[-1]
    g[:] = 0.0
    g[-1] = 1.0
    for k in range(batch):
        y = values[drawn(k, batch, values.size, state)]
        z = (y - x[parts : 2 * parts]) / width
        # The nearest has the largest term: not all of them can vanish.
        nearest = np.min(z * z)
        p[:] = weights * np.exp(0.5 * (nearest - z * z))
        total = np.sum(p)
        f += (0.5 * nearest - np.log(total)) / batch
        p /= total
        g[:parts] += (weights - p) / batch
        g[parts : 2 * parts] -= p * z / width / batch
        g[-1] -= np.sum(p * z * z) / batch
    return f


def rows_of(seed, rows, n, least=0.1):
    """(rng, features, w): random features of scales `least` to 1, and parameters."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, n)) * np.geomspace(least, 1.0, n)
    return rng, features, rng.standard_normal(n)


def labelled(seed, rows, n):
    """(features, labels): labels are -1 or 1, by a logistic chance."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, n)) * np.geomspace(0.1, 1.0, n)
    chance = 1.0 / (1.0 + np.exp(-features @ rng.standard_normal(n)))
    return features, np.where(rng.random(rows) < chance, 1.0, -1.0)


def sampled(name, fun, x0, data, rows, batches, minimum):
    """One problem for each size of a batch."""
    return [
        Problem(
            f"{name}, batch {batch}",
            fun,
            x0,
            (*data, batch, stream()),
            minimum=minimum,
            exact=(*data, rows, stream()),
        )
        for batch in batches
    ]


def linear():
    """Models that are linear in their parameters, from zero."""
    found = sampled(
        "Logistic regression", logistic, np.zeros(20), (*labelled(1000, 1000, 20), 1e-3), 1000, (1, 10, 100),
        LOGISTIC,
    )  # fmt: skip
    rng, features, w = rows_of(13, 5000, 10)
    data = features, rng.poisson(np.exp(0.5 * features @ w)).astype(float)
    found += sampled("Poisson regression", poisson, np.zeros(10), data, 5000, (1, 10), POISSON)
    _, features, w = rows_of(15, 100, 50, 0.5)
    data = features, features @ w
    found += sampled("Interpolation", least_squares, np.zeros(50), data, 100, (1, 8), 0.0)
    rng, features, w = rows_of(17, 2000, 15)
    data = features, features @ w + 0.3 * rng.standard_t(2, 2000), 0.5
    found += sampled("Robust regression", robust, np.zeros(15), data, 2000, (16,), ROBUST)
    data = labelled(19, 500, 8)
    found += sampled("Support vector machine", hinge, np.zeros(8), data, 500, (4,), HINGE)
    rng, features, w = rows_of(21, 500, 8)
    data = features, features @ w + rng.standard_t(3, 500), 0.8
    found += sampled("Quantile regression", quantile, np.zeros(8), data, 500, (8,), QUANTILE)
    return found


def nonlinear():
    """Models that are not, from random starts."""
    rng, features, w = rows_of(23, 400, 10, 0.5)
    data = features, (features @ w) ** 2 + 0.1 * rng.standard_normal(400)
    x0 = w + 0.7 * rng.standard_normal(10)
    found = sampled("Phase retrieval", phase_retrieval, x0, data, 400, (8,), PHASE)
    rng = np.random.default_rng(25)
    table = rng.standard_normal((70, 3))
    pairs = np.argwhere(rng.random((40, 30)) < 0.7) + np.array([0, 40])
    values = np.sum(table[pairs[:, 0]] * table[pairs[:, 1]], axis=1)
    values += 0.1 * rng.standard_normal(len(pairs))
    data = np.column_stack([pairs, values]), 3, 1e-3
    x0 = 0.5 * rng.standard_normal(210)
    found += sampled("Factorisation", factorisation, x0, data, len(pairs), (32,), FACTORISATION)
    rng = np.random.default_rng(31)
    inputs = rng.uniform(-2.0, 2.0, (1000, 2))
    data = inputs, np.sin(inputs[:, 0]) * inputs[:, 1] + 0.1 * rng.standard_normal(1000), 1e-3
    x0 = 0.5 * rng.standard_normal(17)
    found += sampled("Network", network, x0, data, 1000, (20,), NETWORK)
    rng = np.random.default_rng(29)
    values = rng.standard_normal(600) + np.repeat([-4.0, 0.0, 4.0], [100, 200, 300])
    x0 = np.array([0.0, 0.0, 0.0, -2.0, 1.0, 2.0, 1.0])
    found += sampled("Mixture", mixture, x0, (values,), 600, (16,), MIXTURE)
    return found


def problems():
    """Linear and other models of data."""
    return [*linear(), *nonlinear()]


# On all rows, from SciPy; of those with kinks, by linear programming.
LOGISTIC = 0.53537717458965699
POISSON = 0.5851173444237135
ROBUST = 0.06224434010185706
HINGE = 0.5642105292221105
QUANTILE = 0.5414334288464345
PHASE = 0.0023762039547453755
FACTORISATION = 0.10159134090819213
NETWORK = 0.014212256060592825
MIXTURE = 1.4337244014204777
