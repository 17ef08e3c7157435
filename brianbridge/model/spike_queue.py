"""Brian2's spike queue: delays in steps, the order of delivery, and events that are still under way."""

import numpy as np

from brianbridge.model.refusals import Refusal, Refused

__all__ = ["delay_steps", "delivery_order", "send", "simultaneous_events_error", "under_way"]


def delay_steps(delays, dt):
    """Delays in whole steps, to the nearest one, as the queue has them.

    Parameters
    ----------
    delays : ndarray
        In seconds.
    dt : float
        Time step of the spiking group in seconds.

    Returns
    -------
    ndarray of int
    """
    return (delays / dt + 0.5).astype(int)


def delivery_order(sources, delays):
    """The order in which the queue delivers events that arrive in one step at the synapses of a pathway.

    The events of the longest delay come first, those of one delay neuron by neuron.

    Parameters
    ----------
    sources : ndarray of int, shape (synapses,)
        The neurons from which events come.
    delays : ndarray of int, shape (synapses,)
        In steps.

    Returns
    -------
    ndarray of int
        Synapses.
    """
    return np.lexsort((np.arange(len(sources)), sources, -delays))


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


def simultaneous_events_error(pathway):
    """Events meet at a synapse, where Brian2 would let its code see both: the error to raise.

    Parameters
    ----------
    pathway : str

    Returns
    -------
    Refused
    """
    return Refused(
        [
            Refusal(
                pathway,
                "two events arrive at one synapse in the same step, since delays were changed while events "
                "were under way",
                "let them arrive before you change the delays",
            )
        ]
    )
