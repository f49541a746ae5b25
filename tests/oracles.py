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


def chances(m: Any) -> Any:
    """(the probability of a click, and of none) of log-odds."""
    e = exp(-m)
    p = F(1) / (e + F(1))
    return p, e * p


def mixture(shares: Any, p: Any, none: Any) -> Any:
    """(the mixture's probability of a click, and of none), of the lanes' and their shares."""
    click, no_click = total(shares * p), total(shares * none)
    return click / (click + no_click), no_click / (click + no_click)


def margin_move(odds: Any, pull: Any) -> Any:
    """The d >= 0 with d + odds (e^d - 1) = pull, by Newton's steps."""
    d = np.minimum(pull, log(np.minimum(pull / odds, F(1e37)) + F(1)))
    for _ in range(6):
        grown = expm1(d)
        d = np.maximum(d - (d + odds * grown - pull) / (odds * grown + odds + F(1)), F(0))
    return d


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

    def learn(self, slots: Any, values: Any, label: Any, s: Any) -> Any:
        """One example; returns the probability before."""
        s = F(s)
        m = self.margin(slots, values)
        p, none = chances(m)
        mixed, _ = mixture(self.shares, p, none)
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
        move = margin_move(exp(m * toward), np.minimum(q * s, F(1e30))) / q * toward
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


class CombinedOracle(ExactOracle):
    """Eight lanes that keep a weight `w` and its rate `v`, combined behind a gate: nonzero.kernels.newton.

    Parameters
    ----------
    lanes
        Of each: the first rates of a coordinate and of the intercept, curvature, gradient, damping, Fisher
        information, floor.
    """

    def __init__(self, bits: Any, lanes: Any) -> None:
        super().__init__(bits, [(1, 1, 1)] * len(lanes))
        self.first, self.last, self.a, self.b, self.c, self.e, self.f = np.array(lanes, F).T
        self.v = np.tile(self.first, (2**bits + 1, 1))
        self.v[-1] = self.last
        self.plain = np.array([F(1) / F(5)] * 5 + [0] * 3, F)
        self.losses = np.zeros(8, F)
        self.omega, self.gathered = np.zeros((2, 16), F)
        self.omega[8] = 1
        self.free_odds, self.odds, self.open = F(1), F(1), False
        self.evidence, self.gained, self.lost, self.spread, self.above, self.heft = np.zeros(6, F)
        self.covariance = np.diag(np.array([0.1] * 8 + [0.02] * 6 + [0] * 2, F))[:14]

    def margins(self, slots: Any, values: Any) -> Any:
        sums = [np.zeros((2, 8), F) for _ in range(4)]
        for j, (i, x) in enumerate(zip(slots, values, strict=True)):
            sums[j % 4] = sums[j % 4] + np.stack([self.w[i] * x, self.v[i] * (x * x)])
        m, variance = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + np.stack([self.w[-1], self.v[-1]])
        return np.clip(m, F(-50), F(50)), variance

    def learn(self, slots: Any, values: Any, label: Any, s: Any) -> Any:
        s = F(s)
        m, variance = self.margins(slots, values)
        p, none = chances(m)
        whole, rest = mixture(self.shares, p, none)
        click, no_click = mixture(self.plain, p, none)
        base, unsure = log(whole / rest), log(variance[2] + F(1))
        d, size = m - base, np.abs(base)
        u = np.array([*d, base, 1, unsure, unsure * base, size, base * size * F(0.25), 0, 0], F)
        raw = np.clip(self.regressed(u), F(-30), F(30))
        chance, no_chance = chances(raw)
        within, not_within = chances(min(max(raw, m[:5].min()), m[:5].max()))
        free, answer = (
            self.odds_mixed(self.free_odds, whole, chance),
            self.odds_mixed(self.odds, click, within),
        )
        mixed = free if self.open else answer
        if s == 0:
            return mixed
        if not label:
            free = self.odds_mixed(self.free_odds, rest, no_chance)
            answer = self.odds_mixed(self.odds, no_click, not_within)
        self.learned += 1
        self.grow(s)
        scale = s / self.largest
        loss = -log(p if label else none)
        self.losses = self.losses + loss * scale
        self.move_shares(p if label else none, loss, scale)
        self.gained, self.lost = self.gained + log(free / answer) * scale, self.lost + -log(answer) * scale
        self.heft = self.heft + scale
        self.gathered = self.gathered + u * ((-no_chance if label else chance) * scale)
        self.free_odds = self.moved(self.free_odds, chance / whole if label else no_chance / rest, scale)
        self.odds = self.moved(self.odds, within / click if label else not_within / no_click, scale)
        if self.learned <= 1024 or self.learned % 8 == 0:
            self.end_group(u, max(chance * no_chance, F(1e-6)))
        if self.learned % (16 if self.learned <= 512 else 64) == 0:
            self.end_block()
        self.take_step([*slots, -1], [*values, F(1)], m, p, none, label, s, variance)
        return mixed

    def odds_mixed(self, odds: Any, mixture: Any, regression: Any) -> Any:
        last = odds / (odds + F(1))
        return (F(1) - last) * mixture + last * regression

    def moved(self, odds: Any, ratio: Any, scale: Any) -> Any:
        if scale < 1:
            ratio = exp(log(ratio) * scale)
        return np.clip(odds * ratio, F(1e-30), F(1e30))

    def grow(self, s: Any) -> None:
        """A weight is larger than all so far."""
        if s <= self.largest:
            return
        ratio = self.largest / s
        raised = exp(log(self.shares) * ratio)
        self.shares = raised / total(raised)
        raised = np.where(self.plain > 0, exp(log(np.where(self.plain > 0, self.plain, F(1))) * ratio), F(0))
        self.plain = raised / total(raised)
        self.free_odds, self.odds = exp(log(self.free_odds) * ratio), exp(log(self.odds) * ratio)
        self.largest = s
        for name in ("losses", "gained", "lost", "heft"):
            setattr(self, name, getattr(self, name) * ratio)

    def move_shares(self, likelihood: Any, loss: Any, scale: Any) -> None:
        """Those of all lanes by the power 0.3, and those of the plain ones."""
        alpha = F(1) / F(self.learned + 1)
        shares = self.shares * exp(loss * -(F(0.3) * scale))
        self.shares = shares / total(shares) * (F(1) - alpha) + alpha / F(8)
        alpha = F(0.5) / F(self.learned + 1)
        plain = self.plain * (likelihood if scale == 1 else exp(loss * -scale))
        spread = np.where(self.plain > 0, alpha / F(5), F(0))
        self.plain = plain / total(plain) * (F(1) - alpha) + spread

    def regressed(self, u: Any) -> Any:
        w = self.omega
        others = (w[8] * u[8] + w[9]) + (w[10] * u[10] + w[11] * u[11])
        return total(w[:8] * u[:8]) + (others + (w[12] * u[12] + w[13] * u[13]))

    def end_group(self, u: Any, h: Any) -> None:
        """Take a Newton step."""
        e, self.heft = self.heft * h, F(0)
        q, d = np.zeros((2, 16), F)
        for i in range(14):
            q = q + self.covariance[i] * u[i]
            d = d + self.covariance[i] * self.gathered[i]
        variance, along = (total(q[:8] * x[:8] + q[8:] * x[8:]) for x in (u, self.gathered))
        factor = e / (e * variance + F(1)) if variance > 0 else F(0)
        self.covariance = self.covariance - q * q[:14, None] * factor
        self.omega = self.omega - (d - q * (factor * along))
        self.losses, self.gathered = np.zeros(8, F), np.zeros(16, F)
        alpha = F(1) / F(self.learned + 1)
        alpha = alpha * alpha * F(0.5)
        kept = F(1) - alpha
        self.free_odds = (self.free_odds * kept + alpha) / (self.free_odds * alpha + kept)
        self.odds = (self.odds * kept + alpha) / (self.odds * alpha + kept)

    def end_block(self) -> None:
        """Open or shut the gate."""
        early, nats = self.learned <= 512, log(F(8 * (self.learned + 1)))
        length = F(16 if early else 64)
        part = length / F(64)
        cap = F(2) if early else np.clip(self.spread, F(1), F(4))
        threshold = nats * F(0.25 if early else 0.5)
        counted = np.clip(self.gained - min(F(0.25) * part, F(0.02) * self.lost), -cap, cap)
        self.evidence = np.clip(self.evidence + counted, F(0), nats * F(3) + F(28))
        blocks = min(F(self.learned) / length, F(128))
        self.spread = self.spread + (np.abs(self.gained) / part - self.spread) / blocks
        self.above = self.above + F(1) if self.evidence > threshold else F(0)
        self.open = bool(self.above > (0 if early or self.open else 8))
        self.gained, self.lost = F(0), F(0)

    def shrink(self, i: Any, x: Any, curvature: Any, gradient: Any) -> Any:
        v = self.v[i]
        self.v[i] = v / np.sqrt((gradient * v + curvature) * v * (x * x) + F(1))
        return self.v[i]

    def take_step(
        self, where: Any, x: Any, m: Any, p: Any, none: Any, label: Any, s: Any, variance: Any
    ) -> None:
        residual = -none if label else p
        h = np.maximum(p * none, self.e * (residual * residual))
        toward = F(1 if label else -1)
        if s == 1:
            k = F(1) / (self.c * h * variance + F(1))
            for i, x_i in zip(where, x, strict=True):
                v = self.shrink(i, x_i, self.a * h * F(2), self.b * (residual * residual) * F(2))
                self.w[i] = self.w[i] - v * (residual * k * x_i)
                self.v[i] = np.maximum(v, self.f)
            return
        for i, x_i in zip(where, x, strict=True):
            self.shrink(i, x_i, self.a * h * (F(2) * s), self.b * (residual * residual) * (F(2) * s))
        q = self.v[-1].copy()
        for i, x_i in zip(where[:-1], x[:-1], strict=True):
            q = q + self.v[i] * (x_i * x_i)
        move = margin_move(exp(m * toward), np.minimum(q * s, F(1e30))) / q * toward
        for i, x_i in zip(where, x, strict=True):
            self.w[i] = self.w[i] + move * x_i * self.v[i]
            self.v[i] = np.maximum(self.v[i], self.f)
