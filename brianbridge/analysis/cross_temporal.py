"""
Is what neurons say about a cue at one time the same as what they say at another?

Differences of rates between cues, from one half of the trials at time t1 and from the other half at t2, are
correlated over the population (Stokes et al. 2013; Kim & Sejnowski 2019, figure 3). High correlation away
from the diagonal means a stable code, on the diagonal only a changing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import norm

from .clusters import Clusters, find_clusters


@dataclass(frozen=True)
class Discriminability:
    """
    Cross-temporal discriminability of cues.

    Attributes
    ----------
    fisher_z : array (time, time)
        Fisher-transformed correlation over units between half A at t1 (rows) and half B at t2 (columns).
    clusters : Clusters
        Regions in which it is larger than without any information on the cue.
    """

    fisher_z: np.ndarray
    clusters: Clusters


def cue_averages(rates, cue):
    """
    Average rates over even and over odd trials of each cue.

    Parameters
    ----------
    rates : array (trials, time, units)
        Smoothed rates of units recorded together.
    cue : array (trials,)
        Which cue was shown. Within each cue, trials are split in turn.

    Returns
    -------
    array (2, cues, time, units)
        Averages of the halves, cues in ascending order. Populations from several networks are pooled by
        ``np.concatenate([...], axis=-1)``.
    """
    rates, cue = np.asarray(rates, dtype=float), np.asarray(cue)
    of_cue = [np.flatnonzero(cue == value) for value in np.unique(cue)]
    if len(of_cue) < 2 or min(map(len, of_cue)) < 2:
        raise ValueError("discriminability needs two cues or more, with two trials or more of each")
    return np.array([[rates[trials[half::2]].mean(axis=0) for trials in of_cue] for half in (0, 1)])


def cross_temporal_discriminability(
    averages, *, recordings=None, permutations=1000, point_level=0.05, seed=0
):
    """
    Correlate differences between cues across time, with a cluster-based permutation test.

    Parameters
    ----------
    averages : array (2, cues, time, units)
        From `cue_averages`.
    recordings : sequence of (rates, cue), optional
        The trials from which the averages were made, one pair for each network or session, as `cue_averages`
        takes them. Needed where units that were recorded together share noise, as in a recurrent network.
    permutations : int
        With `recordings`, the cues of whole trials are permuted in each of them, for all units alike, and the
        averages are made anew: what units have in common for other reasons than the cue stays. Without,
        the cues of every unit are permuted in the second half of the trials, at all times alike, which
        assumes that units are independent, as those that were recorded one by one.
    point_level : float
        Level (one-sided) of a point that may belong to a cluster.
    seed : int

    Returns
    -------
    Discriminability

    Notes
    -----
    Kim & Sejnowski (2019) pool units over networks and test by permutation, without saying what was permuted.
    """
    averages = np.asarray(averages, dtype=float)
    _, cues, _, units = averages.shape
    rng = np.random.default_rng(seed)
    if recordings is not None and not _are_of(averages, recordings):
        raise ValueError("recordings= are not those from which these averages were made")

    def permuted():
        for _ in range(permutations):
            if recordings is None:
                order = rng.permuted(np.tile(np.arange(cues)[:, None], units), axis=0)
                yield averages[0], np.take_along_axis(averages[1], order[:, None, :], axis=0)
            else:
                yield _pooled([(rates, rng.permutation(cue)) for rates, cue in recordings])

    observed = _fisher_z(*averages)
    independent = units * (cues - 1)
    threshold = norm.isf(point_level) / np.sqrt(max(independent - 3, 1))
    null_maps = (_fisher_z(*halves) for halves in permuted())
    return Discriminability(observed, find_clusters(observed, null_maps, threshold))


def _pooled(recordings):
    return np.concatenate([cue_averages(rates, cue) for rates, cue in recordings], axis=-1)


def _are_of(averages, recordings):
    made = _pooled(recordings)
    return made.shape == averages.shape and np.allclose(made, averages)


@dataclass(frozen=True)
class DiscriminabilityDifference:
    """
    How much more stable the code of one group of units is than that of another.

    Attributes
    ----------
    first, second : float
        Mean Fisher z of each group, off the diagonal within the window.
    p_value : float
        One-sided, for first > second, from permutations of the units between the groups.
    """

    first: float
    second: float
    p_value: float

    @property
    def difference(self):
        """First minus second."""
        return self.first - self.second


def compare_discriminability(first, second, window, *, apart, permutations=1000, seed=0):
    """
    Compare the stability of two groups, such as units with long and with short timescales.

    Parameters
    ----------
    first, second : array (2, cues, time, units)
        From `cue_averages`.
    window : bool array (time,)
        Time steps that count, such as the delay.
    apart : int
        Only pairs of times more than so many steps apart count (published: 100 ms).
    permutations, seed : int

    Returns
    -------
    DiscriminabilityDifference
    """
    window = np.flatnonzero(window)
    far = np.abs(np.subtract.outer(window, window)) > apart
    if not far.any():
        raise ValueError(f"no two times of the window are more than {apart} steps apart")
    pooled = np.concatenate([first, second], axis=-1)[:, :, window]
    members = first.shape[-1]
    rng = np.random.default_rng(seed)

    def stability(units):
        return _fisher_z(*pooled[..., units])[far].mean()

    def both(order):
        return stability(order[:members]), stability(order[members:])

    observed = both(np.arange(pooled.shape[-1]))
    null = [np.subtract(*both(rng.permutation(pooled.shape[-1]))) for _ in range(permutations)]
    larger = np.sum(np.array(null) >= observed[0] - observed[1])
    return DiscriminabilityDifference(*map(float, observed), p_value=(1 + larger) / (1 + permutations))


def _fisher_z(first, second):
    """Correlate over units and pairs of cues: (cues, time, units) twice, to (time, time)."""
    scores = []
    for half in (first, second):
        pairs = combinations(range(len(half)), 2)
        differences = np.concatenate([half[a] - half[b] for a, b in pairs], axis=-1)
        differences = differences - differences.mean(axis=-1, keepdims=True)
        length = np.linalg.norm(differences, axis=-1, keepdims=True)
        scores.append(np.divide(differences, length, out=np.zeros_like(differences), where=length > 0))
    return np.arctanh(np.clip(scores[0] @ scores[1].T, -1 + 1e-12, 1 - 1e-12))
