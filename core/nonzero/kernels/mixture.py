# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""Lanes -> one probability: the mixture that makes the learning rate nobody's business.

The prediction is :math:`p = \sum_l \pi_l p_l`. The shares :math:`\pi_l \propto \exp(-L_l / S)` follow the
lanes' summed importance-weighted log losses :math:`L_l`, where S is the largest importance weight so far, at
least 1. That is the aggregating algorithm (Vovk, "Aggregating strategies", COLT 1990) for the log loss, which
is 1-mixable; where S grows, the shares are raised to the power of the old S over the new one, so that they
are what they would have been under the new S from the start.

After the t-th example the share :math:`\alpha_t = 1 / (t + 1)` is spread evenly over the lanes (Herbster and
Warmuth, "Tracking the best expert", Machine Learning 32, 1998, section 3, with a vanishing rate), so that a
lane that falls behind can come back. The regret in nats, for N lanes and T examples that were learned from:

- against the best single lane at most :math:`S (\ln N + \ln(T + 1))`, of which :math:`S \ln N` is the
  aggregating algorithm's own and the rest the price of the shares given away, paid only as far as the lanes
  differ;
- against the best sequence of lanes, :math:`S (\ln N + \ln(T + 1))` more for each change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.elementary import exp, log
from nonzero.arithmetic.intrinsics import count, total
from nonzero.native import inlined

ONE = np.float32(1.0)


def new_shares(lanes: int) -> NDArray[np.float32]:
    """Return float32[1, 2 * lanes]: the shares of a new model; the second half is not used."""
    shares = np.zeros((1, 2 * lanes), np.float32)
    shares[0, :lanes] = 1 / lanes
    return shares


@inlined
def mixed(shares, chances, complements):
    """(the mixture's probability of a click, and of none), from the lanes' and their shares.

    Each is summed by itself, so that neither loses what 1 - p would round away; dividing by their sum makes
    up for the rounding of the shares, and for shares read while they are being written.
    """
    click = total(shares * chances)
    none = total(shares * complements)
    whole = click + none
    return click / whole, none / whole


@inlined
def updated(shares, losses, scale, learned):
    """The shares after an example: each by its lane's loss, then the share 1/(t+1) of all spread evenly.

    `losses` are the lanes' log losses in nats, `scale` the importance weight over the largest so far,
    `learned` the number of examples learned from, this one included.
    """
    shares = shares * exp(losses * (-ONE * scale))
    shares = shares / total(shares)
    alpha = ONE / np.float32(learned + 1)
    return shares * (ONE - alpha) + alpha / np.float32(count(shares))


@inlined
def rescaled(shares, ratio):
    """The shares as they would be had the largest importance weight always been 1/ratio times what it was."""
    shares = exp(log(shares) * ratio)
    return shares / total(shares)
