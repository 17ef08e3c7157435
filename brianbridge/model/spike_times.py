"""Given spike times in whole steps."""

import numpy as np
from brian2.core.functions import timestep

from brianbridge.model.refusals import Refusal

__all__ = ["repeated_spike_refusals"]


def repeated_spike_refusals(group):
    """Spikes of one neuron that fall into one step, which Brian2 finds only where they are neighbours.

    Elsewhere it would let them count twice.

    Parameters
    ----------
    group : SpikeTimes

    Returns
    -------
    list of Refusal
        One or none.
    """
    bins = timestep(group.times, group.dt)
    order = np.lexsort((bins, group.indices))
    spikes = np.stack([group.indices[order], bins[order]], axis=1)
    twice = np.flatnonzero((np.diff(spikes, axis=0) == 0).all(axis=1))
    if not twice.size:
        return []
    first, other = order[twice[0]], order[twice[0] + 1]
    more = f" (and {twice.size - 1} more of this kind)" if twice.size > 1 else ""
    at, again, step = (f"{time * 1e3:g} ms" for time in (group.times[first], group.times[other], group.dt))
    return [
        Refusal(
            group.name,
            f"its neuron {group.indices[first]} spikes at {at} and at {again}, twice in one step of "
            f"{step}{more}",
            "choose a shorter dt, or leave out one of the spikes",
        )
    ]
