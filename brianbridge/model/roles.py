"""The objects that a Brian2 group contains, by the role they play in it.

Names of contained objects may carry a running number, roles do not: they connect a live object with its
description, and a user's object with its rebuilt twin.
"""

from brian2 import Subgroup
from brian2.groups.group import CodeRunner

__all__ = ["contained_objects", "operations_of"]


def contained_objects(group):
    """Contained objects of a group.

    Parameters
    ----------
    group : brian2.Group

    Returns
    -------
    dict of str to brian2 object
        Keys such as ``'state updater'``, ``'threshold spike'``, ``'reset spike'``, ``'pathway pre'``,
        ``'summed v_post'`` and ``'operation NAME'``.
    """
    roles = {
        "state updater": getattr(group, "state_updater", None),
        "subexpression updater": getattr(group, "subexpression_updater", None),
    }
    for event, thresholder in getattr(group, "thresholder", {}).items():
        roles[f"threshold {event}"] = thresholder
    for event, resetter in getattr(group, "resetter", {}).items():
        roles[f"reset {event}"] = resetter
    for pathway in getattr(group, "_synaptic_updaters", ()):
        roles[f"pathway {pathway}"] = getattr(group, pathway)
    for variable, updater in getattr(group, "summed_updaters", {}).items():
        roles[f"summed {variable}"] = updater
    for runner in operations_of(group):
        roles[f"operation {runner.name}"] = runner
    return {role: contained for role, contained in roles.items() if contained is not None}


def operations_of(group):
    """What `run_regularly` has made for a group and its subgroups.

    Parameters
    ----------
    group : brian2.Group

    Returns
    -------
    list of CodeRunner
    """
    owners = [group, *(part for part in group.contained_objects if isinstance(part, Subgroup))]
    return [
        part
        for owner in owners
        for part in owner.contained_objects
        if type(part) is CodeRunner and part.template == "stateupdate"
    ]
