# mypy: disable-error-code="no-untyped-def"
"""The functions of the fold: exp, log, sigmoid, softplus and kin, of one float32 or of eight lanes alike.

They are our own because the same stream must give the same bits on another day and another CPU, which no
libm promises: only + - * / and square roots, each rounded as IEEE 754 says, in a fixed order. The polynomials
are those of Cephes (Moshier, single precision, ``expf`` and ``logf``): relative error below 2e-7.
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import maximum, minimum, power_of_two, split
from nonzero.native import inlined

ONE = np.float32(1.0)
HALF = np.float32(0.5)

# exp: x = n ln 2 + r with |r| <= ln(2)/2; ln 2 in two parts, so that n * LN2_HIGH is exact.
LOG2_E = np.float32(1.44269504088896341)
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(-2.12194440e-4)
ROUNDER = np.float32(1.5 * 2**23)  # adding and taking it away again rounds to the nearest whole number
E5 = np.float32(1.9875691500e-4)
E4 = np.float32(1.3981999507e-3)
E3 = np.float32(8.3334519073e-3)
E2 = np.float32(4.1665795894e-2)
E1 = np.float32(1.6666665459e-1)
E0 = np.float32(5.0000001201e-1)

# log(1 + f) = f - f^2/2 + f^3 P(f)
L8 = np.float32(7.0376836292e-2)
L7 = np.float32(-1.1514610310e-1)
L6 = np.float32(1.1676998740e-1)
L5 = np.float32(-1.2420140846e-1)
L4 = np.float32(1.4249322787e-1)
L3 = np.float32(-1.6668057665e-1)
L2 = np.float32(2.0000714765e-1)
L1 = np.float32(-2.4999993993e-1)
L0 = np.float32(3.3333331174e-1)


@inlined
def reduced(x):
    """(n, exp(r) - 1 for the rest r = x - n ln 2), for |x| <= 87."""
    n = (x * LOG2_E + ROUNDER) - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    square = r * r
    p = (((((r * E5 + E4) * r + E3) * r + E2) * r + E1) * r + E0) * square + r
    return n, p


@inlined
def exp(x):
    """e**x for |x| <= 87."""
    n, p = reduced(x)
    return (p + ONE) * power_of_two(n)


@inlined
def expm1(x):
    """e**x - 1 for |x| <= 87, with a small relative error near 0 too: 2^n (e^r - 1) + (2^n - 1)."""
    n, p = reduced(x)
    scale = power_of_two(n)
    return p * scale + (scale - ONE)


@inlined
def log(x):
    """The natural logarithm of a positive normal number."""
    m, e = split(x)
    f = m - ONE
    square = f * f
    p = (
        ((((((((f * L8 + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0)
        * f
        * square
    )
    p = p + e * LN2_LOW
    p = p - square * HALF
    return (f + p) + e * LN2_HIGH


@inlined
def sigmoid(margin):
    """1 / (1 + exp(-margin)) for |margin| <= 50, with a small relative error down to 2e-22."""
    return ONE / (exp(-ONE * margin) + ONE)


@inlined
def chances(margin):
    """(p, 1 - p) of margins, neither with cancellation: 1 / (1 + e) and e / (1 + e), e = exp(-m)."""
    e = exp(-ONE * margin)
    p = ONE / (e + ONE)
    return p, e * p


@inlined
def softplus(x):
    """log(1 + exp(x)) for |x| <= 50: the log loss of a margin -x whose label is 1.

    max(x, 0) + log(1 + exp(-|x|)); the log's argument is corrected for what 1 + e lost, so that the result
    keeps a small relative error where it is tiny.
    """
    zero = x - x
    positive = maximum(x, zero)
    e = exp(minimum(x, zero) - positive)
    u = e + ONE
    return positive + (log(u) + (e - (u - ONE)) / u)
