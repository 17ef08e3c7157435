"""Distances between the spike trains of two simulations, all pairs of trains at once."""

import numpy as np

__all__ = ["SCALE", "distances"]

SCALE = 0.01  # seconds: to move a spike so far costs as much as to delete it; the decay of its trace


def distances(first, second):
    """Mean distances of the spike trains of the same neurons in the same trials, silent ones among them.

    Parameters
    ----------
    first, second : SimulatedTrials
        They may have other time steps.

    Returns
    -------
    victor_purpura, van_rossum : float
        NaN without neurons. One spike more is a distance of 1 in both, as in elephant.
    """
    found = []
    for group in first.spikes:
        a, b = first.spike_trains(group), second.spike_trains(group)
        found.append([_victor_purpura(a, b), _van_rossum(a, b)])
    values = np.concatenate(found, axis=1) if found else np.empty((2, 0))
    return tuple(map(float, values.mean(axis=1))) if values.size else (np.nan, np.nan)


def _victor_purpura(a, b):
    """The cheapest way from each train of a to that of b, by inserting, deleting and moving spikes.

    Costs are those of the first spikes of a to the first 0, 1, 2, ... of b. To insert is to take the cost
    to the left and one more: a running minimum, once the number of the column is taken off.
    """
    n_a, n_b = np.isfinite(a).sum(axis=1), np.isfinite(b).sum(axis=1)
    column = np.arange(b.shape[1] + 1.0)
    costs, found = np.tile(column, (len(a), 1)), n_b.astype(float)
    pairs = np.arange(len(a))
    for spike in range(a.shape[1]):
        longer = n_a[pairs] > spike
        pairs, costs = pairs[longer], costs[longer]
        moved = costs[:, :-1] + np.abs(a[pairs, spike, None] - b[pairs]) / SCALE
        costs += 1  # deleted
        costs[:, 1:] = np.minimum(costs[:, 1:], moved)
        costs = np.minimum.accumulate(costs - column, axis=1) + column
        found[pairs] = costs[np.arange(len(pairs)), n_b[pairs]]
    return found


def _van_rossum(a, b):
    """Distance of the trains as sums of traces that jump by one and decay; of norm 1 for a single spike.

    Spikes of a jump up and those of b down: the distance is the norm of one train of both.
    """
    times = np.concatenate([a, b], axis=1)
    signs = np.where(np.isfinite(times), np.repeat([1.0, -1.0], [a.shape[1], b.shape[1]]), 0)
    order = np.argsort(times, axis=1)
    times, signs = (np.take_along_axis(values, order, axis=1) for values in (times, signs))
    decays = np.nan_to_num(np.exp(-np.diff(times, axis=1, prepend=np.nan) / SCALE))
    trace, squares = np.zeros(len(a)), np.zeros(len(a))
    for sign, decay in zip(signs.T, decays.T):
        trace *= decay
        squares += sign * (sign + 2 * trace)
        trace += sign
    return np.sqrt(np.maximum(squares, 0))  # rounding
