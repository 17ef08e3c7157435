"""The objects that a Brian2 group contains, by the role they play in it.

Names of contained objects may carry a running number, roles do not: they connect a live object with its
description, and a user's object with its rebuilt twin.
"""

__all__ = ["contained_objects"]


def contained_objects(group):
    """Contained objects of a `NeuronGroup` or `Synapses`.

    Parameters
    ----------
    group : brian2.NeuronGroup or brian2.Synapses

    Returns
    -------
    dict of str to brian2 object
        Keys such as ``'state updater'``, ``'threshold spike'``, ``'reset spike'``, ``'pathway pre'`` and
        ``'summed v_post'``.
    """
    roles = {"state updater": group.state_updater, "subexpression updater": group.subexpression_updater}
    for event, thresholder in getattr(group, "thresholder", {}).items():
        roles[f"threshold {event}"] = thresholder
    for event, resetter in getattr(group, "resetter", {}).items():
        roles[f"reset {event}"] = resetter
    for pathway in getattr(group, "_synaptic_updaters", ()):
        roles[f"pathway {pathway}"] = getattr(group, pathway)
    for variable, updater in getattr(group, "summed_updaters", {}).items():
        roles[f"summed {variable}"] = updater
    return {role: contained for role, contained in roles.items() if contained is not None}
