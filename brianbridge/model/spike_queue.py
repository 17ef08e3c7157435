"""Events that a synaptic pathway has sent and not yet delivered, in Brian2's own spike queue."""

import numpy as np

__all__ = ["send", "under_way"]


def under_way(pathway):
    """What a pathway has yet to deliver.

    Parameters
    ----------
    pathway : brian2.synapses.synapses.SynapticPathway

    Returns
    -------
    ndarray of int, shape (events, 2)
        In how many steps an event arrives, and at which synapse; in the order of Brian2's queue.
    """
    now, slots = pathway.queue._full_state()
    events = [
        (steps, synapse) for steps in range(len(slots)) for synapse in slots[(now + steps) % len(slots)]
    ]
    return np.array(events, dtype=int).reshape(-1, 2)


def send(pathway, events):
    """Let events be under way in a pathway, in place of those that are.

    Parameters
    ----------
    pathway : brian2.synapses.synapses.SynapticPathway
    events : ndarray of int, shape (events, 2)
        As from `under_way`.
    """
    slots = [[] for _ in range(events[:, 0].max(initial=-1) + 1)]
    for steps, synapse in events.tolist():
        slots[steps].append(synapse)
    pathway.queue._restore_from_full_state((0, slots))
