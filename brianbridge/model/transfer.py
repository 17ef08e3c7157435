"""Take over what another network has learned, into a network for another task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from brian2.units.fundamentalunits import get_unit

from brianbridge.model.groups import SPIKE_TIMES, Projection
from brianbridge.model.low_rank import LowRank, end_size, with_modes
from brianbridge.model.naming import variable_name
from brianbridge.model.trainable_checks import check_trainable

__all__ = ["Transfer", "transfer"]

#: Variables in which Brian2 keeps account of spikes.
BRIAN2S_OWN = (*SPIKE_TIMES, "not_refractory")


@dataclass(frozen=True, eq=False)
class Transfer:
    """A model with what was taken from another one, and the account of it.

    Attributes
    ----------
    model : Model
        What to train on.
    taken : tuple of str
        Variables that have the other network's values.
    new : dict of str to str
        Variables, or whole groups, that keep their own values, with the reason.
    left : tuple of str
        Trained parameters of the other network that this one has no place for.
    """

    model: object
    taken: tuple
    new: Mapping
    left: tuple

    def __str__(self):
        lines = [f"taken: {', '.join(self.taken)}"]
        lines += [f"new:   {name}, {reason}" for name, reason in self.new.items()]
        lines += [f"left:  {', '.join(self.left)}"] if self.left else []
        return "\n".join(lines)

    __repr__ = __str__


def transfer(trained, model, only=None):
    """Start a network from the values of a trained one that has other inputs, outputs or sizes.

    Groups are matched by name. What fits is taken: all variables of groups of the same size, and of synapses
    between groups of the same sizes, together with who is connected and the delays. The rest is new, such as
    weights of inputs that were added.

    Parameters
    ----------
    trained : Trained or Model
    model : Model
        Of the network for the other task, with what is to be trained in it.
    only : sequence, optional
        Take these variables only (``[rec.w, "cells.tau_m"]``); each of them must fit.

    Returns
    -------
    Transfer
        Its ``model`` is trained further; printed, it says what was taken and what is new, and why.

    Raises
    ------
    ValueError
        If nothing fits, if something in `only` does not, or if a value breaks the model's constraint.
    UnknownName
        If `only` names something that the model does not have.

    Examples
    --------
    >>> moved = bb.transfer(bb.Trained.load("context.safetensors"), bb.wrap(net, train={rec.w: bb.Dale()}))
    >>> print(moved)
    >>> surrogate = bb.Surrogate(moved.model)
    """
    old = getattr(trained, "model", trained)
    only = None if only is None else {variable_name(key, model) for key in only}
    account = _Account(old, model, only)
    for group in model.groups:
        account.group(group)
    account.check()
    model = account.model
    trainables = []
    for trainable in model.trainable:
        if isinstance(trainable.constraint, LowRank) and trainable.name in account.taken:
            model, trainable = _same_modes(old, model, trainable)
        check_trainable(model, trainable)
        trainables.append(trainable)
    left = [
        t.name for t in old.trainable if not {".".join(target) for target in t.targets} & set(account.taken)
    ]
    model = replace(model, trainable=tuple(trainables))
    return Transfer(model, tuple(account.taken), account.new, tuple(left))


def _same_modes(old, model, trainable):
    """The modes of the trained weights; if those have none, the best approximation."""
    constraint, factors = trainable.constraint, None
    for other in old.trainable:
        same = other.name == trainable.name and isinstance(other.constraint, LowRank)
        if same and other.constraint.modes == constraint.modes:
            factors = other.constraint
    if factors is not None:
        constraint = constraint.with_factors(factors.xi_in, factors.scores, factors.xi_out)
        return model, trainable.with_constraint(constraint)
    constraint = replace(constraint, xi_in=None, scores=None, xi_out=None)
    return with_modes(model, trainable.with_constraint(constraint))


class _Account:
    """Takes group by group, and keeps account."""

    def __init__(self, old, model, only):
        self.old, self.model, self.only = old, model, only
        self.taken, self.new = [], {}

    def group(self, group):
        old = next((other for other in self.old.groups if other.name == group.name), None)
        wanted = [name for name in self._names(group) if self.only is None or (group.name, name) in self.only]
        reason = self._reason(group, old, wanted)
        if reason:
            self.new |= {group.name: reason} if wanted or self.only is None else {}
            return
        values, constants = dict(group.values), dict(group.constants)
        for name in wanted:
            value = self._value(group, old, name)
            if isinstance(value, str):
                self.new[f"{group.name}.{name}"] = value
                continue
            if name in constants:
                constants[name] = replace(constants[name], value=value.item())
            else:
                values[name] = value
            self.taken.append(f"{group.name}.{name}")
        group = replace(group, values=values, constants=constants)
        if isinstance(group, Projection) and not _same_pairs(group, old):
            group = _with_pairs(group, old)
        self.model = self.model.with_group(group)

    def _names(self, group):
        """Variables of a group; and its constants that the other network has trained."""
        trained = {name for t in self.old.trainable for owner, name in t.targets if owner == group.name}
        names = [name for name in group.values if name not in BRIAN2S_OWN]
        return names + [name for name in group.constants if name in trained]

    def _reason(self, group, old, wanted):
        """Why nothing of a group can be taken, or an empty string."""
        if old is None:
            return "which the trained network does not have"
        if isinstance(group, Projection) != isinstance(old, Projection):
            return "which is another kind of object in the trained network"
        if not isinstance(group, Projection):
            return "" if group.n == old.n else f"which has {group.n} neurons, not {old.n}"
        for side in ("source", "target"):
            size = end_size(self.model, getattr(group, side))
            trained = end_size(self.old, getattr(old, side))
            if size != trained:
                return f"whose {side} has {size} neurons, not {trained}"
        if _same_pairs(group, old) or not wanted:
            return ""
        rest = [
            n for n in self._names(group) if n not in wanted or isinstance(self._value(group, old, n), str)
        ]
        rest += [p.name for p in group.pathways if p.name not in {other.name for other in old.pathways}]
        if rest:
            return f"which connects other neurons, and {', '.join(rest)} cannot be taken over to them"
        return ""

    def _value(self, group, old, name):
        """The trained value of a variable, or why it cannot be taken."""
        here, there = (model.dimensions((group.name, name)) for model in (self.model, self.old))
        shape = np.shape(group.values[name]) if name in group.values else ()
        if name in old.values:
            value = old.values[name]
        elif name in old.constants:
            value, there = np.array(float(old.constants[name].value)), old.constants[name].dimensions
        else:
            return "which the trained network does not have"
        if name in group.constants:
            here = group.constants[name].dimensions
        if here != there:
            return f"which is in {get_unit(here)!r}, not {get_unit(there)!r}"
        per_element = shape == (group.n,) and value.shape == (old.n,)
        if shape != value.shape and not per_element:
            return "of which one network has one value for all, the other one for each"
        return value

    def check(self):
        """Something was taken, and all that was asked for."""
        if self.only is not None and self.new:
            name, reason = next(iter(self.new.items()))
            raise ValueError(f"transfer(only=...): {name}, {reason}, cannot be taken.")
        if not self.taken:
            reasons = "; ".join(f"{name}, {reason}" for name, reason in self.new.items())
            raise ValueError(f"Nothing of the trained network fits this model: {reasons}.")


def _same_pairs(group, old):
    return np.array_equal(group.i, old.i) and np.array_equal(group.j, old.j)


def _with_pairs(group, old):
    """The connections and delays of the trained network."""
    delays = {pathway.name: pathway.delay for pathway in old.pathways}
    values = {name: old.values.get(name, value) for name, value in group.values.items()}
    pathways = tuple(replace(pathway, delay=delays[pathway.name]) for pathway in group.pathways)
    own = {name: group.values[name] for name in group.values if name not in BRIAN2S_OWN}
    return replace(group, i=old.i, j=old.j, pathways=pathways, values=values | own)
