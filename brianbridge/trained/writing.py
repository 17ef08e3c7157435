"""Write trained values, and a trial, into a live Brian2 network."""

from functools import partial

import numpy as np
from brian2 import TimedArray
from brian2.units.fundamentalunits import Quantity

from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.generation.schedule import program_of
from brianbridge.model.naming import caller_names
from brianbridge.model.rebuild import unrun

__all__ = ["assignments", "trial_assignments", "write_input"]


def assignments(network, model):
    """Functions that write all trained values, once everything was found to fit.

    Parameters
    ----------
    network : brian2.Network
    model : Model
        With the trained values.

    Raises
    ------
    KeyError
        If the network lacks a group or variable.
    ValueError
        If a variable has another size, synapses connect other neurons, or the network has run and initial
        states were trained.
    """
    if float(network.t) > 0:
        _refuse_states(network, model)
    return [
        _assignment(network, model, target, trainable.dimensions)
        for trainable in model.trainable
        for target in trainable.targets
    ]


def _refuse_states(network, model):
    """What the equations change has its trained value at t = 0 only."""
    live = unrun(model)
    states = {key for key, array in program_of(model, live).arrays.items() if array.role == "state"}
    late = [trainable.name for trainable in model.trainable if trainable.name in states]
    if late:
        raise ValueError(
            f"{', '.join(late)} was trained as the state at t = 0 s, but this network is at {network.t}. "
            "Write it before the first run, or go back with network.restore()."
        )


def _assignment(network, model, target, dimensions):
    """A function that writes one variable, after checking that it can."""
    name, variable = target
    value = np.array(model.initial_value(target))
    if not name:
        array = _timed_array(network, model, variable)
        _check_shape(f"The TimedArray {variable}", array.values.shape, value.shape)
        return partial(write_input, array, value)
    group = _group(network, name)
    if hasattr(model[name], "i"):
        _check_pairs(group, model[name])
    if variable not in group.variables:  # a constant of the script's namespace
        return partial(group.namespace.__setitem__, variable, Quantity(value.item(), dim=dimensions))
    found = np.shape(group.variables[variable].get_value())
    _check_shape(f"{name}.{variable}", found, value.shape or (1,))
    return partial(group.variables[variable].set_value, value)


def _group(network, name):
    groups = {obj.name: obj for obj in network.objects}
    if name not in groups:
        known = ", ".join(sorted(n for n, obj in groups.items() if hasattr(obj, "equations")))
        raise KeyError(
            f"The network has no object {name!r}; it has {known}. Names must be those of the network that "
            "was trained: give your groups a name=, or use trained.network(), which rebuilds it."
        )
    return groups[name]


def _check_shape(name, found, trained):
    if found != trained:
        raise ValueError(
            f"{name} has the shape {found} in this network, but {trained} was trained. Was it built with "
            "another seed or size? Build it as it was when it was wrapped, or use trained.network(), which "
            "rebuilds it."
        )


def _check_pairs(synapses, projection):
    """Values belong to pairs of neurons: with other connections they would end up at the wrong ones."""
    pairs = np.array(synapses.i[:]), np.array(synapses.j[:])
    _check_shape(synapses.name, pairs[0].shape, projection.i.shape)
    if not (np.array_equal(pairs[0], projection.i) and np.array_equal(pairs[1], projection.j)):
        raise ValueError(
            f"{synapses.name} connects other neurons in this network than in the one that was trained. Build "
            "it with the same seed, or use trained.network(), which rebuilds it."
        )


def _timed_array(network, model, name):
    """The live `TimedArray` that is called so in the equations."""
    timed = model.input(name)
    identifiers = {key for group in model.groups for key, n in group.inputs.items() if n == name}
    namespaces = [getattr(obj, "namespace", None) or {} for obj in network.objects] + [caller_names()]
    for namespace in namespaces:
        for identifier in identifiers:
            if isinstance(namespace.get(identifier), TimedArray):
                return namespace[identifier]
    for reference in TimedArray.__instances__():
        array = reference()
        if array is not None and array.name == timed.brian_name:
            return array
    raise KeyError(
        f"The TimedArray {name!r} is not to be found, neither in the namespaces of the network's groups nor "
        "in the script. Write its values yourself, in place: timed_array.values[:] = ..."
    )


def trial_assignments(network, model, trial):
    """Functions that write one trial's inputs, noise and initial state, once everything was found to fit.

    Parameters
    ----------
    network : brian2.Network
        At t = 0.
    model : Model
    trial : dict
        ``'inputs'``: name to SI array (time, n); ``'noise'``: as in `freeze_noise`; ``'initial'``:
        ``'group.variable'`` to SI array. Each may be missing.

    Raises
    ------
    ValueError
        If the network has run already, since trials start at t = 0; if a shape differs; or if noise is for
        other time steps than the network's.
    KeyError
        If a name is unknown.
    """
    unknown = set(trial) - {"inputs", "noise", "initial"}
    if unknown:
        raise KeyError(f"A trial has 'inputs', 'noise' and 'initial', not {', '.join(map(repr, unknown))}.")
    if float(network.t) > 0:
        raise ValueError(
            f"A trial starts at t = 0 s, but this network is at {network.t}. Call network.store() before the "
            "first run and network.restore() before each trial."
        )
    plan = []
    if trial.get("noise"):
        _check_steps(network, model)
        plan.append(partial(freeze_noise, network, trial["noise"]))
    for name, values in trial.get("inputs", {}).items():
        array = _timed_array(network, model, name)
        _check_input(array, values)
        plan.append(partial(write_input, array, values))
    for key, value in trial.get("initial", {}).items():
        plan.append(_state(network, key, value))
    return plan


def _check_steps(network, model):
    """Frozen numbers belong to the steps for which they were drawn."""
    steps = {group.name: group.dt for group in model.groups}
    for obj in network.objects:
        if obj.name in steps and not np.isclose(obj.clock.dt_, steps[obj.name], rtol=1e-9, atol=0):
            raise ValueError(
                f"The trial's noise is for steps of {steps[obj.name] * 1e3:g} ms, but {obj.name} has steps "
                f"of {obj.clock.dt_ * 1e3:g} ms here. Use trained.network(), which has the steps of the "
                "training, or leave the noise out."
            )


def _state(network, key, value):
    """A function that writes an initial state, after checking that it can."""
    group, _, name = key.partition(".")
    variables = _group(network, group).variables
    if name not in variables:
        raise KeyError(f"{group} has no variable {name!r}.")
    value, shape = np.asarray(value), np.shape(variables[name].get_value())
    if value.shape not in ((), shape):
        raise ValueError(f"{key} has the shape {shape}, but the trial's values have {value.shape}.")
    return partial(variables[name].set_value, value)


def _check_input(array, values):
    values = np.asarray(values)
    if values.shape != array.values.shape:
        raise ValueError(
            f"The TimedArray {array.name} has the shape {array.values.shape}, but the trial's values have "
            f"{values.shape}. Make it as long as a trial: TimedArray(zeros({values.shape}), dt=...)."
        )


def write_input(array, values):
    """Give a `TimedArray` other values, in place; Brian2 ignores a new array after the first run.

    Raises
    ------
    ValueError
        If the shape differs.
    """
    values = np.asarray(values, dtype=float)
    _check_input(array, values)
    array.values[:] = values
