"""Which choice a neuron prefers, and whether those that prefer the same one are connected more strongly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def d_prime(activity, choice):
    """
    Distance between a unit's activity before one choice and before the other, in standard deviations.

    Parameters
    ----------
    activity : array (trials, units)
        Such as the rate summed over the stimulus.
    choice : array (trials,)
        1 (or True) for choice 1, 0 for choice 2; the option that was chosen, right or wrong.

    Returns
    -------
    array (units,)
        d′ = (μ₁ − μ₂)/√((σ₁² + σ₂²)/2) with the variances of the population, as in Song, Yang & Wang (2016);
        0 for a unit whose activity never varies.
    """
    activity, choice = np.asarray(activity, dtype=float), np.asarray(choice)
    groups = [activity[choice == value] for value in (1, 0)]
    if min(map(len, groups)) < 2 or sum(map(len, groups)) < len(activity):
        raise ValueError("choice must be 1 or 0 in every trial, and each in two trials or more")
    difference = groups[0].mean(axis=0) - groups[1].mean(axis=0)
    spread = np.sqrt((groups[0].var(axis=0) + groups[1].var(axis=0)) / 2)
    unbounded = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.divide(difference, spread, out=unbounded, where=spread > 0)


def sort_by_selectivity(d_prime, excitatory=None, fraction=0.25):
    """
    Choose the most selective units of each sign and sort them by their preference.

    Parameters
    ----------
    d_prime : array (units,)
    excitatory : bool array (units,), optional
        Without it, units have no sign.
    fraction : float
        Share of excitatory and of inhibitory units with the largest d′ of either sign (published: 0.25).

    Returns
    -------
    int array (chosen units,)
        Excitatory units from the largest d′ to the smallest, then inhibitory ones. ``weights[np.ix_(order,
        order)]`` is then the connectivity sorted by preference.
    """
    d_prime = np.asarray(d_prime, dtype=float)
    excitatory = (
        np.ones(len(d_prime), dtype=bool) if excitatory is None else np.asarray(excitatory, dtype=bool)
    )
    chosen = []
    for members in (np.flatnonzero(excitatory), np.flatnonzero(~excitatory)):
        count = round(fraction * len(members))
        selective = members[np.argsort(-np.abs(d_prime[members]), kind="stable")[:count]]
        chosen.append(selective[np.argsort(-d_prime[selective], kind="stable")])
    return np.concatenate(chosen)


@dataclass(frozen=True)
class PreferenceClustering:
    """
    Mean weights between units with the same and with different preferences.

    Attributes
    ----------
    within, between : float
        Mean weight from one unit to another whose d′ has the same, or the other, sign.
    p_value : float
        One-sided, for within > between, from permutations of the preferences over the units.
    """

    within: float
    between: float
    p_value: float


def cluster_by_preference(weights, d_prime, *, permutations=1000, seed=0):
    """
    Ask whether units with the same preference are connected more strongly.

    Parameters
    ----------
    weights : array (units, units)
        From column to row, of units of one sign; absent connections are 0, and those of a unit to itself are
        ignored.
    d_prime : array (units,)
    permutations, seed : int

    Returns
    -------
    PreferenceClustering
    """
    weights, prefers = np.array(weights, dtype=float), np.sign(d_prime)
    if weights.shape != (len(prefers), len(prefers)):
        raise ValueError(
            f"weights of {len(prefers)} units need the shape {2 * (len(prefers),)}, not {weights.shape}"
        )
    np.fill_diagonal(weights, 0)

    def means(prefers):
        same, other = prefers[:, None] * prefers > 0, prefers[:, None] * prefers < 0
        np.fill_diagonal(same, False)
        if not same.any() or not other.any():
            raise ValueError("all units prefer the same choice, or there are too few of them")
        return weights[same].mean(), weights[other].mean()

    within, between = means(prefers)
    rng = np.random.default_rng(seed)
    null = np.array([np.subtract(*means(rng.permutation(prefers))) for _ in range(permutations)])
    p_value = (1 + np.sum(null >= within - between)) / (1 + permutations)
    return PreferenceClustering(float(within), float(between), float(p_value))
