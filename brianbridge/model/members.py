"""Which objects of a network can be described, what they are linked to, and in which order they are built."""

import re

import numpy as np
from brian2 import (
    NeuronGroup,
    PoissonGroup,
    PoissonInput,
    SpatialNeuron,
    SpikeGeneratorGroup,
    Subgroup,
    Synapses,
)
from brian2.core.variables import ArrayVariable, Subexpression
from brian2.monitors import EventMonitor, PopulationRateMonitor, SpikeMonitor, StateMonitor

from brianbridge.model.groups import Link

__all__ = ["MONITORS", "Members", "kind", "owner_name", "part", "parts", "whole"]

MONITORS = (StateMonitor, SpikeMonitor, EventMonitor, PopulationRateMonitor)
#: What to write instead of objects that are not bridged, by the names of their classes.
INSTEAD = {
    "NetworkOperation": "write what it does with run_regularly, as equations, a TimedArray, or statements on "
    "events",
    "SpatialNeuron": "write its compartments as groups coupled by (summed) variables",
}
TAKEN = (
    "NeuronGroup, Synapses, PoissonGroup, SpikeGeneratorGroup and PoissonInput (monitors may stay: the "
    "surrogate answers them)"
)
#: A subclass that overrides one of these does something of its own.
OWN_WAYS = ("run", "before_run", "after_run", "update_abstract_code", "create_code_objects")


class Members:
    """The groups of a network in the order in which they can be rebuilt.

    Parameters
    ----------
    network : brian2.Network
    refuse : callable
        Called with object, construct and remedy for everything that cannot be described.

    Attributes
    ----------
    groups : list of brian2.Group
        Every group after those that it refers to.
    drives : list of PoissonInput
    links : dict of str to dict of str to Link
        Linked variables by the name of their group.
    incomplete : set of str
        Names of groups that refer to something that cannot be described.
    """

    def __init__(self, network, refuse):
        self.network = network
        self.refuse = refuse
        self.drives = []
        self.links = {}
        self.incomplete = set()
        self.groups = self._in_order()

    def _in_order(self):
        """Every group after those that it refers to."""
        inner = {id(obj): obj for group in self.network.objects for obj in parts(group)}
        contained = {key for key, obj in inner.items() if kind(obj) is None}
        objects = {id(obj): obj for obj in self.network.objects}
        objects |= {key: obj for key, obj in inner.items() if key not in contained}
        groups = []
        for obj in sorted(objects.values(), key=lambda obj: obj.name):
            if kind(obj) is PoissonInput:
                self.drives.append(obj)
            elif kind(obj) is not None:
                groups.append(obj)
            elif id(obj) not in contained and not isinstance(obj, (*MONITORS, Subgroup)):
                self._refuse_kind(obj)
        self.links = {obj.name: self._links(obj) for obj in groups}
        known, referred = {obj.name for obj in objects.values()}, {}
        for obj in groups + self.drives:
            referred[obj.name] = self._referred(obj)
            for other in referred[obj.name] - known:
                self.incomplete.add(obj.name)
                self.refuse(
                    obj.name, f"it refers to {other!r}, which is not in the network", "add it to the network"
                )
        ordered = []
        while groups:
            waiting = {obj.name for obj in groups}
            ready = [obj for obj in groups if not referred[obj.name] & waiting - {obj.name}]
            ready = ready or groups[:1]  # links in a circle
            ordered += ready
            groups = [obj for obj in groups if obj not in ready]
        return ordered

    def _referred(self, obj):
        """Names of the groups that an object's description refers to."""
        if isinstance(obj, PoissonInput):
            return {whole(obj.group).name}
        ends = {whole(obj.source).name, whole(obj.target).name} if isinstance(obj, Synapses) else set()
        return ends | {link.group for link in self.links[obj.name].values()}

    def _refuse_kind(self, obj):
        kinds = [cls.__name__ for cls in type(obj).__mro__]
        name = next((name for name in kinds if name in INSTEAD), kinds[0])
        shown = f"'{obj.function.__name__}()', a {name}," if hasattr(obj, "function") else f"a {name}"
        self.refuse(obj.name, f"{shown} is not bridged", INSTEAD.get(name, f"use {TAKEN}"))

    def _links(self, group):
        """The group's linked variables."""
        links = {}
        for name in sorted(getattr(group, "_linked_variables", ())):
            target = self._linked(name, group.variables.get(name))
            if target is None:
                self.incomplete.add(group.name)
                self.refuse(
                    group.name,
                    f"'{name}' (linked) is linked to nothing in this network",
                    "link it with linked_var() to a variable of a group in the network",
                )
                continue
            index = group.variables.indices[name]
            if index in ("_idx", "0"):
                index = None
            elif index not in group.equations and index not in ("i", "j"):
                index = np.array(group.variables[index].get_value(), dtype=int)
            links[name] = Link(*target, index)
        return links

    def _linked(self, name, variable):
        """Group and name of what a variable is linked to; Brian2 keeps of a subexpression only its text."""
        groups = {obj.name: obj for obj in self.network.objects if hasattr(obj, "variables")}
        if isinstance(variable, ArrayVariable):
            owner = owner_name(variable.owner)
            return (owner, variable.name) if owner in groups else None
        if isinstance(variable, Subexpression):
            for owner, group in groups.items():
                text = re.sub(rf"\b_{name}_(?:{owner}_)?", "", variable.expr)
                for known in group.variables.values():
                    if isinstance(known, Subexpression) and known.expr == text and known is not variable:
                        return owner, known.name
        return None


def kind(obj):
    """Brian2's class of an object that can be described, None for all others."""
    for cls in (NeuronGroup, Synapses, PoissonGroup, SpikeGeneratorGroup, PoissonInput):
        if isinstance(obj, cls) and not isinstance(obj, SpatialNeuron):
            own = type(obj).__mro__[: type(obj).__mro__.index(cls)]
            return None if any(way in vars(c) for c in own for way in OWN_WAYS) else cls
    return None


def parts(group):
    """What a group contains, also through subgroups that operations belong to.

    Synapses with operations of their own are contained in their source: Brian2 takes them for a subgroup.
    """
    for obj in group.contained_objects:
        yield obj
        if kind(obj) is None:
            yield from obj.contained_objects


def owner_name(owner):
    """Name of a variable's owner, which may be a subgroup that nobody holds any more."""
    try:
        return owner.name
    except ReferenceError:
        return None


def whole(group):
    """The group that a subgroup is part of, or the group itself."""
    return group.source if isinstance(group, Subgroup) else group


def part(group):
    """First and last-plus-one index of a subgroup, None for a whole group."""
    return (int(group.start), int(group.stop)) if isinstance(group, Subgroup) else None
