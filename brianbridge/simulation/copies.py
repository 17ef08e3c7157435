"""Copies of a network side by side in one: as many trials in the steps of one."""

import re
from dataclasses import replace

import numpy as np
from brian2.utils.stringtools import get_identifiers

from brianbridge.model.groups import Neurons, Operation, Projection

__all__ = ["copies", "side_by_side"]

MOST_NEURONS, MOST_SYNAPSES = 20_000, 1_000_000  # that run side by side as copies
PLACES = {"i", "j", "N", "N_pre", "N_post", "N_incoming", "N_outgoing"}  # they differ between copies


def copies(model, number):
    """A network of independent copies: copy k of neuron i is neuron ``k*n + i``.

    Every copy has inputs, noise and initial states of its own. Each neuron has its synapses in the same
    order, so that with the same noise every copy takes the very steps of the network itself.

    Parameters
    ----------
    model : Model
    number : int

    Returns
    -------
    Model
        Nothing in it is trained. Timed inputs have ``number`` times as many columns; those that are one value
        for all neurons remain so, and all copies read it.

    Raises
    ------
    ValueError
        Naming the group, if its equations depend on the place or number of neurons, or if it is of a kind
        that is not copied (spike generators, subgroups, linked variables, operations on them).
    """
    if number == 1:
        return model
    sizes = {group.name: group.n for group in model.groups}
    for group in model.groups:
        _check(group, {timed.name for timed in model.inputs if timed.values.ndim == 2})
    groups = tuple(_copied(group, number, sizes) for group in model.groups)
    inputs = tuple(replace(timed, values=_columns(timed, number)) for timed in model.inputs)
    return replace(model, groups=groups, inputs=inputs, trainable=(), monitors=())


def side_by_side(model, trials):
    """How many copies of a network may run as one, for this many trials; 1 where it cannot be copied.

    It cannot either where an input is one value for all neurons, which may differ from trial to trial.
    """
    if any(timed.values.ndim == 1 for timed in model.inputs):
        return 1
    neurons = sum(group.n for group in model.groups if not hasattr(group, "i"))
    synapses = sum(group.n for group in model.groups if hasattr(group, "i"))
    number = max(1, min(trials, MOST_NEURONS // max(neurons, 1), MOST_SYNAPSES // max(synapses, 1)))
    try:
        copies(model, min(number, 2))
    except ValueError:
        return 1
    return number


def _columns(timed, number):
    return timed.values if timed.values.ndim == 1 else np.tile(timed.values, (1, number))


def _copied(group, number, sizes):
    values = {
        name: np.tile(value, number) if value.shape == (group.n,) else value
        for name, value in group.values.items()
    }
    if isinstance(group, Neurons):
        return replace(group, n=number * group.n, values=values)
    block = np.repeat(np.arange(number), group.n)
    ends = {
        end: np.tile(getattr(group, end), number) + block * sizes[owner]
        for end, (owner, *_) in {"i": group.source, "j": group.target}.items()
    }
    pathways = tuple(
        replace(pathway, delay=np.tile(pathway.delay, number) if pathway.delay.shape else pathway.delay)
        for pathway in group.pathways
    )
    return replace(group, values=values, pathways=pathways, **ends)


def _check(group, with_columns):
    reason = _obstacle(group, with_columns)
    if reason:
        raise ValueError(f"{group.name} {reason}, so that copies cannot stand side by side: use together=1.")


def _obstacle(group, with_columns):
    """Why a group cannot be copied; empty where it can. Names are those of inputs that have columns."""
    if not isinstance(group, Neurons | Projection):
        return "has spike times of its own"
    if group.links:
        return "has linked variables"
    if not all(isinstance(operation, Operation) and operation.part is None for operation in group.operations):
        return "has a PoissonInput or an operation on a part of it"
    texts = [group.equations, *group.initial.values(), *(operation.code for operation in group.operations)]
    if isinstance(group, Neurons):
        texts += [*group.events.values(), *group.codes.values(), str(group.refractory)]
    else:
        if (group.source[1], group.target[1]) != (None, None):
            return "connects a subgroup"
        if any(len(pathway.under_way) for pathway in group.pathways):
            return "has spikes under way"
        texts += [pathway.code for pathway in group.pathways]
    text = "\n".join(texts)
    if "shared" in text and re.search(r"\b(randn?|poisson)\b|\bxi", text):
        return "shares random numbers"
    for name, timed in group.inputs.items():
        text = re.sub(rf"\b{name}\s*\(\s*t\s*,\s*i\s*\)", "", text)
        if timed in with_columns and re.search(rf"\b{name}\s*\(", text):
            return f"reads {name} at another place than i"
    places = sorted(PLACES & get_identifiers(text))
    return f"refers to {', '.join(places)}" if places else ""
