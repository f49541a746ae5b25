"""The model in plain numpy: slow and obvious, held against the compiled kernels.

:class:`ExactOracle` works in float32 in the order that the kernels state, and must agree to the bit.
:class:`Float64Oracle` is the formula of the source document in float64, and says how far rounding may lead
away from it.
"""

from typing import Any

import numpy as np

F = np.float32
WINDOW = 100_000


def exp(x: Any) -> Any:
    return plus_one(*reduced(F(x)))


def reduced(x: Any) -> Any:
    """Cephes expf: x = n ln 2 + r; e^r - 1 by its polynomial."""
    n = (x * F(1.44269504088896341) + F(1.5 * 2**23)) - F(1.5 * 2**23)
    r = (x - n * F(0.693359375)) - n * F(-2.12194440e-4)
    p = np.zeros_like(r)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ):
        p = p * r + F(c)
    return n, p * (r * r) + r


def plus_one(n: Any, p: Any) -> Any:
    return np.ldexp(p + F(1), n.astype(np.int32)).astype(F)


def expm1(x: Any) -> Any:
    n, p = reduced(F(x))
    scale = np.ldexp(F(1), n.astype(np.int32)).astype(F)
    return p * scale + (scale - F(1))


def log(x: Any) -> Any:
    """Cephes logf: x = m 2^e with sqrt(1/2) <= m < sqrt(2)."""
    m, e = np.frexp(F(x))
    low = m < F(np.sqrt(0.5))
    m, e = np.where(low, m * F(2), m), np.where(low, e - 1, e).astype(F)
    f = m - F(1)
    p = np.zeros_like(f)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ):  # fmt: skip
        p = p * f + F(c)
    square = f * f
    p = p * f * square
    p = p + e * F(-2.12194440e-4)
    p = p - square * F(0.5)
    return (f + p) + e * F(0.693359375)


def softplus(x: Any) -> Any:
    e = exp(np.minimum(x, F(0)) - np.maximum(x, F(0)))
    u = e + F(1)
    return np.maximum(x, F(0)) + (log(u) + (e - (u - F(1))) / u)


def total(x: Any) -> Any:
    """Sum over the lanes in pairs."""
    while x.size > 1:
        x = x[::2] + x[1::2]
    return x[0]


class ExactOracle:
    """Every lane's weights and accumulators as float32[slots + 1, lanes], and the shares."""

    def __init__(self, bits: Any, lanes: Any) -> None:
        n = len(lanes)
        self.eta, self.epsilon, self.decay = np.array(lanes, F).T
        self.w = np.zeros((2**bits + 1, n), F)
        self.g = np.zeros((2**bits + 1, n), F)
        self.shares = np.full(n, F(1 / n))
        self.largest = F(1)
        self.learned = 0

    def margin(self, slots: Any, values: Any) -> Any:
        sums = [np.zeros_like(self.eta) for _ in range(4)]
        for j, (i, x) in enumerate(zip(slots, values, strict=True)):
            sums[j % 4] = sums[j % 4] + self.weight(i) * x
        m = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + self.weight(-1)
        return np.clip(m, F(-50), F(50))

    def weight(self, i: Any) -> Any:
        return self.w[i]

    def predict(self, m: Any) -> Any:
        e = exp(-m)
        p = F(1) / (e + F(1))
        none = e * p
        click, no_click = total(self.shares * p), total(self.shares * none)
        return p, none, click / (click + no_click)

    def learn(self, slots: Any, values: Any, label: Any, s: Any) -> Any:
        """One example; returns the probability before."""
        s = F(s)
        m = self.margin(slots, values)
        p, none, mixed = self.predict(m)
        if s == 0:
            return mixed
        self.learned += 1
        if self.eta.size > 1:
            self.mix(softplus(-m if label else m), s)
        residual = -none if label else p
        self.step([*slots, -1], [*values, F(1)], m, residual, label, s)
        return mixed

    def step(self, where: Any, x: Any, m: Any, residual: Any, label: Any, s: Any) -> None:
        if s == 1:
            for i, x_i in zip(where, x, strict=True):
                g = residual * x_i
                self.g[i] = np.minimum(self.g[i] * self.decay + g * g, F(1e30))
                self.bound(i, self.w[i] - self.eta * g / np.sqrt(self.g[i] + self.epsilon))
        else:
            self.learn_weighted(where, x, m, residual, F(1 if label else -1), s)

    def learn_weighted(self, where: Any, x: Any, m: Any, residual: Any, toward: Any, s: Any) -> None:
        exponent = np.maximum(log(self.decay) * s, F(-87))
        kept = exp(exponent)
        mass = np.where(self.decay == 1, s, -expm1(exponent) / np.maximum(F(1) - self.decay, F(1e-9)))
        for i, x_i in zip(where, x, strict=True):
            g = residual * x_i
            self.g[i] = np.minimum(self.g[i] * kept + (g * g) * mass, F(1e30))
        rates = [self.eta / np.sqrt(self.g[i] + self.epsilon) for i in where]
        q = rates[-1]
        for rate, x_i in zip(rates[:-1], x[:-1], strict=True):
            q = q + rate * (x_i * x_i)
        pull, odds = np.minimum(q * s, F(1e30)), exp(m * toward)
        d = np.minimum(pull, log(np.minimum(pull / odds, F(1e37)) + F(1)))
        for _ in range(6):
            grown = expm1(d)
            d = np.maximum(d - (d + odds * grown - pull) / (odds * grown + odds + F(1)), F(0))
        move = d / q * toward
        for i, x_i, rate in zip(where, x, rates, strict=True):
            self.bound(i, self.w[i] + move * rate * x_i)

    def bound(self, i: Any, weights: Any) -> None:
        self.w[i] = np.clip(weights, F(-1e6), F(1e6))

    def mix(self, losses: Any, s: Any) -> None:
        if s > self.largest:
            raised = exp(log(self.shares) * (self.largest / s))
            self.shares = raised / total(raised)
            self.largest = s
        shares = self.shares * exp(losses * -(s / self.largest))
        shares = shares / total(shares)
        alpha = F(1) / F(self.learned + 1)
        self.shares = shares * (F(1) - alpha) + alpha / F(shares.size)


def fold(oracle: Any, batch: Any) -> Any:
    """Let an oracle learn from a batch; return its predictions."""
    values = batch.explicit_values()
    out = []
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        out.append(oracle.learn(batch.indices[span], values[span], batch.labels[r], batch.weights[r]))
    return np.array(out, F)


class AnyRuleOracle(ExactOracle):
    """Lanes of any rules: `w` and `g` are what each keeps of a coordinate, first and second.

    Parameters
    ----------
    lanes
        Of each: its name, and its hyperparameters as their classes take them.
    """

    def __init__(self, bits: Any, lanes: Any) -> None:
        n = len(lanes)
        super().__init__(bits, [(1, 1, 1)] * n)
        self.direct, self.proximal, self.growing = np.zeros((3, n), bool)
        self.l1, self.l2 = np.zeros((2, n), F)
        for k, (name, *h) in enumerate(lanes):
            if name == "adagrad":
                self.direct[k] = True
                self.eta[k], self.epsilon[k], self.decay[k] = h
            elif name == "ftrl":
                self.proximal[k] = True
                self.eta[k], self.epsilon[k], self.l1[k], self.l2[k] = h
            else:
                self.growing[k] = True
                self.eta[k], self.l1[k], self.epsilon[k] = h

    def leader(self, i: Any) -> Any:
        threshold = self.l1 * np.where(self.growing, F(self.learned), F(1))
        excess = np.maximum(np.abs(self.w[i]) - threshold, F(0))
        size = excess / ((self.epsilon + np.sqrt(self.g[i])) / self.eta + self.l2)
        return np.clip(np.where(self.w[i] > 0, -size, size), F(-1e6), F(1e6))

    def weight(self, i: Any) -> Any:
        return np.where(self.direct, self.w[i], self.leader(i))

    def step(self, where: Any, x: Any, m: Any, residual: Any, label: Any, s: Any) -> None:
        w, g = self.w.copy(), self.g.copy()
        with np.errstate(all="ignore"):
            super().step(where, x, m, residual, label, s)
        adagrad = self.w, self.g
        self.w, self.g = w, g
        for i, x_i in zip(where, x, strict=True):
            gradient = residual * s * x_i
            grown = np.minimum(self.g[i] + gradient * gradient, F(1e30))
            sigma = (np.sqrt(grown) - np.sqrt(self.g[i])) / self.eta
            z = self.w[i] + gradient - np.where(self.proximal, sigma * self.leader(i), F(0))
            self.w[i], self.g[i] = np.clip(z, F(-1e30), F(1e30)), grown
        self.w, self.g = (np.where(self.direct, a, b) for a, b in zip(adagrad, (self.w, self.g), strict=True))


class FTRLOracle:
    """Algorithm 1 of McMahan et al. 2013, line by line, in float64."""

    def __init__(self, bits: Any, alpha: Any, beta: Any, l1: Any, l2: Any) -> None:
        self.alpha, self.beta, self.l1, self.l2 = alpha, beta, l1, l2
        self.z = np.zeros(2**bits + 1)
        self.n = np.zeros(2**bits + 1)

    def weight(self, i: Any) -> Any:
        if abs(self.z[i]) <= self.l1:
            return 0.0
        shrunk = self.z[i] - np.sign(self.z[i]) * self.l1
        return -shrunk / ((self.beta + np.sqrt(self.n[i])) / self.alpha + self.l2)

    def learn(self, slots: Any, values: Any, label: Any) -> Any:
        where, x = [*slots, -1], [*values, 1.0]
        w = [self.weight(i) for i in where]
        p = 1 / (1 + np.exp(-sum(w_i * x_i for w_i, x_i in zip(w, x, strict=True))))
        for i, x_i, w_i in zip(where, x, w, strict=True):
            g = (p - label) * float(x_i)
            sigma = (np.sqrt(self.n[i] + g * g) - np.sqrt(self.n[i])) / self.alpha
            self.z[i] += g - sigma * w_i
            self.n[i] += g * g
        return p


class DualAveragingOracle:
    """The mean gradient, shrunk by the L1 penalty (Duchi, Hazan, Singer 2011, section 5.1), in float64."""

    def __init__(self, bits: Any, eta: Any, l1: Any, delta: Any) -> None:
        self.eta, self.l1, self.delta = eta, l1, delta
        self.u = np.zeros(2**bits + 1)
        self.g = np.zeros(2**bits + 1)
        self.t = 0

    def weight(self, i: Any) -> Any:
        if not self.t:
            return 0.0
        mean = self.u[i] / self.t
        h = self.delta + np.sqrt(self.g[i])
        return np.sign(-mean) * self.eta * self.t / h * max(abs(mean) - self.l1, 0)

    def learn(self, slots: Any, values: Any, label: Any) -> Any:
        where, x = [*slots, -1], [*values, 1.0]
        p = 1 / (1 + np.exp(-sum(self.weight(i) * x_i for i, x_i in zip(where, x, strict=True))))
        for i, x_i in zip(where, x, strict=True):
            g = (p - label) * float(x_i)
            self.u[i] += g
            self.g[i] += g * g
        self.t += 1
        return p


class ScaleOracle:
    """Values in units of the root mean square of their field's values before, within +-30.

    With `recovering`, of those after a beginning that is contradicted by as many values again.
    """

    def __init__(self, recovering: bool = True) -> None:
        self.squares: Any = {}
        self.counts: Any = {}
        self.marks: Any = {}
        self.rows = 0
        self.recovering = recovering

    def add(self, f: Any, squares: Any, n: Any) -> None:
        before, after = self.counts.get(f, 0), self.counts.get(f, 0) + n
        self.squares[f], self.counts[f] = self.squares.get(f, 0.0) + squares, after
        if self.recovering and before.bit_length() < after.bit_length():
            first = 1 << max(before.bit_length() - 1, 0)
            since = self.squares[f] - self.marks.get(f, 0.0)
            if first >= 8 and self.marks[f] / first > 256 * since / (after - first):
                self.squares[f], self.counts[f] = since, after - first
            self.marks[f] = self.squares[f]

    def take(self, fields: Any, values: Any) -> Any:
        out = []
        for f, x in zip(fields, values, strict=True):
            if f in self.counts:
                out.append(np.clip(float(x) / np.sqrt(self.squares[f] / self.counts[f]), -30, 30))
            else:
                out.append(x if x in (0, 1) else np.sign(x))
        self.rows += 1
        for f, x in zip(fields, values, strict=True):
            squares, count = self.squares.get(f, 0.0), self.counts.get(f, 0)
            if x == 1 and self.rows % 64 == 0:
                self.add(f, 64, 64)
            elif x not in (0, 1):
                most = 16 * squares / count if count >= 10 else np.inf
                self.add(f, min(float(x) ** 2, most), 1)
        return np.array(out, F)


class Float64Oracle:
    """G <- decay G + g^2 and w <- w - eta g / sqrt(G + epsilon), one lane: the source document's formula."""

    def __init__(self, bits: Any, eta: Any, epsilon: Any, decay: Any = 1.0) -> None:
        self.eta, self.epsilon, self.decay = eta, epsilon, decay
        self.w = np.zeros(2**bits + 1)
        self.g = np.zeros(2**bits + 1)

    def learn(self, slots: Any, values: Any, label: Any) -> Any:
        where, x = [*slots, -1], [*values, 1.0]
        margin = sum(self.w[i] * x_i for i, x_i in zip(where, x, strict=True))
        p = 1 / (1 + np.exp(-margin))
        for i, x_i in zip(where, x, strict=True):
            g = (p - label) * float(x_i)
            self.g[i] = self.decay * self.g[i] + g * g
            self.w[i] -= self.eta * g / np.sqrt(self.g[i] + self.epsilon)
        return p


def weighted_step(margin: Any, pull: Any, label: Any) -> Any:
    """Where the margin ends under the total pull Q s, by many small steps of dm/ds = (y - p) Q, in
    float64."""
    m, sign = float(margin), 1.0 if label else -1.0
    # d + a expm1(d) = pull by bisection between two certain bounds: no Newton step, no polynomial.
    a = np.exp(sign * m)
    low, high = 0.0, min(float(pull), np.log1p(pull / a))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle + a * np.expm1(middle) < pull else (low, middle)
    return m + sign * low
