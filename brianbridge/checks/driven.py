"""Neurons without their network: driven by the task's inputs and by noise that is held like an input."""

from dataclasses import replace

import numpy as np
from brian2.equations.equations import parse_string_equations
from brian2.units import second
from brian2.utils.stringtools import word_substitute

from brianbridge.checks.finding import NotApplicable
from brianbridge.checks.integrators import method_of
from brianbridge.checks.noise import noise_places
from brianbridge.model.description import TimedInput
from brianbridge.model.equation_text import XI, has_differential_equations, rewritten, unit_text
from brianbridge.model.groups import Neurons

__all__ = ["driven_neurons", "held_noise", "spiking_neurons", "with_held_noise"]

PER_ROOT_SECOND = (second**-0.5).dim


def spiking_neurons(model):
    """Names of the groups whose neurons are integrated up to a threshold."""
    return [
        group.name
        for group in model.groups
        if isinstance(group, Neurons)
        and "spike" in group.events
        and has_differential_equations(group.equations)
    ]


def driven_neurons(model, dt):
    """A model without the synapses of its spiking neurons, and with held noise.

    Parameters
    ----------
    model : Model
    dt : float
        Time step in seconds on which noise is held.

    Returns
    -------
    model : Model
    held : dict of str to int
        As of `with_held_noise`.

    Raises
    ------
    NotApplicable
        If neurons cannot be told from their network, or draw other random numbers than ``xi``.
    """
    model, held = with_held_noise(_without_synapses(model, spiking_neurons(model)), dt)
    places = noise_places(model)
    if places:
        raise NotApplicable(f"{', '.join(places)}: random numbers that are drawn anew in every step")
    return model, held


def with_held_noise(model, dt):
    """A model that reads its noise, ``xi``, from timed inputs: its equations have no noise any more.

    The integrators remain the same, and see one value in the whole of a step.

    Parameters
    ----------
    model : Model
    dt : float
        Time step of these inputs in seconds.

    Returns
    -------
    model : Model
    held : dict of str to int
        Names of the inputs, and how many columns each has.

    Raises
    ------
    NotApplicable
        If synapses have noise, or neurons share it.
    """
    groups, inputs, held = [], [], {}
    for group in model.groups:
        for xi in sorted({found.group() for found in XI.finditer(group.equations)}):
            name = f"held_{xi}_{group.name}"
            group = _reading(group, xi, name, method_of(model, group.name))
            inputs.append(TimedInput(name, np.zeros((1, group.n)), PER_ROOT_SECOND, dt))
            held[name] = group.n
        groups.append(group)
    return replace(model, groups=tuple(groups), inputs=(*model.inputs, *inputs)), held


def held_noise(held, trials, seed):
    """White noise for these inputs, held on the time step of the trials: of the power of ``xi``.

    Parameters
    ----------
    held : dict of str to int
    trials : Trials
    seed : int

    Returns
    -------
    dict of str to ndarray, shape (time, trials, n)
    """
    rng = np.random.default_rng(seed)
    shape = trials.steps, len(trials)
    return {name: rng.standard_normal((*shape, n)) / np.sqrt(trials.dt) for name, n in held.items()}


def _without_synapses(model, neurons):
    removed = {group.name for group in model.groups if hasattr(group, "i") and group.source[0] in neurons}
    kept = tuple(group for group in model.groups if group.name not in removed)
    for group in kept:
        for link in group.links.values():
            if link.group in removed:
                raise NotApplicable(f"{group.name} has variables that are linked to {link.group}")
    return replace(model, groups=kept, trainable=(), monitors=())


def _reading(group, xi, name, method):
    """A group of neurons that reads an input in place of xi."""
    if not isinstance(group, Neurons):
        raise NotApplicable(f"the synapses {group.name} have noise of their own")
    for equation in parse_string_equations(group.equations).values():
        if "shared" in equation.flags and equation.expr and xi in equation.expr.identifiers:
            raise NotApplicable(f"all neurons of {group.name} share the noise of {equation.varname}")
    equations = rewritten(
        group.equations, lambda equation: word_substitute(equation.expr.code, {xi: f"held_{xi}"})
    )
    # constant over dt: a method of several stages must not look into the next step
    held = f"held_{xi} = {name}(t, i) : {unit_text(PER_ROOT_SECOND)} (constant over dt)"
    return replace(
        group,
        equations=f"{equations}\n{held}",
        inputs={**group.inputs, name: name},
        schedule={"subexpression updater": ("before_start", 0, True), **group.schedule},
        method=method,
    )
