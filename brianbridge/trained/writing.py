"""Write trained values, and a trial, into a live Brian2 network."""

import numpy as np
from brian2 import TimedArray
from brian2.units.fundamentalunits import Quantity

from brianbridge.generation.frozen_noise import freeze_noise

__all__ = ["write_trial", "write_values"]


def write_values(network, trained):
    """Assign all trained values; nothing is written if anything does not fit.

    Parameters
    ----------
    network : brian2.Network
    trained : Trained

    Raises
    ------
    KeyError
        If the network lacks a group or variable.
    ValueError
        If a variable has another size.
    """
    groups = {obj.name: obj for obj in network.objects}
    assignments = []
    for trainable in trained.model.trainable:
        for target in trainable.targets:
            value = np.array(trained.model.initial_value(target))
            assignments.append(_assignment(trained.model, groups, target, value, trainable.dimensions))
    for assign in assignments:
        assign()


def _assignment(model, groups, target, value, dimensions):
    """A function that writes one variable, after checking that it can."""
    name, variable = target
    if not name:
        array = _timed_array(model, variable)
        _check_shape(variable, array.values.shape, value.shape)
        return lambda: array.values.__setitem__(slice(None), value)
    group = groups.get(name)
    if group is None:
        raise KeyError(
            f"The network has no object {name!r}; it has {', '.join(sorted(groups))}. Names must be those of the "
            "network that was trained: give your groups a name=."
        )
    if variable not in group.variables:  # a constant of the script's namespace
        return lambda: _set_constant(group, variable, Quantity(value.item(), dim=dimensions))
    stored = group.variables[variable].get_value()
    _check_shape(f"{name}.{variable}", np.shape(stored), (1,) if value.shape == () else value.shape)
    return lambda: group.variables[variable].set_value(value)


def _set_constant(group, name, value):
    if group.namespace is None:
        group.namespace = {}
    group.namespace[name] = value


def _check_shape(name, found, trained):
    if found != trained:
        raise ValueError(
            f"{name} has {found[0] if found else 1} elements in this network, but {trained[0] if trained else 1} were "
            "trained. Was it built with another seed or size? Build it as it was when it was wrapped, or use "
            "trained.network(), which rebuilds it."
        )


def _timed_array(model, name):
    """The live `TimedArray` that an input of the model was read from."""
    brian_name = model.input(name).brian_name
    for reference in TimedArray.__instances__():
        array = reference()
        if array is not None and array.name == brian_name:
            return array
    raise KeyError(
        f"The TimedArray {name!r} ({brian_name}) of the network that was trained is gone. Write its values "
        "yourself, in place: timed_array.values[:] = ..."
    )


def write_trial(network, model, trial, inputs=None):
    """Write one trial's inputs, noise and initial state.

    Parameters
    ----------
    network : brian2.Network
        At t = 0.
    model : Model
    trial : dict
        ``'inputs'``: name to SI array (time, n); ``'noise'``: as in `freeze_noise`; ``'initial'``:
        ``'group.variable'`` to SI array. Each may be missing.
    inputs : dict of str to TimedArray, optional
        The arrays of a rebuilt network; default are those that the model was read from.

    Raises
    ------
    ValueError
        If the network has run already: trials start at t = 0.
    """
    if float(network.t) > 0:
        raise ValueError(
            f"A trial starts at t = 0 s, but this network is at {network.t}. Call network.store() before the "
            "first run and network.restore() before each trial."
        )
    groups = {obj.name: obj for obj in network.objects}
    for name, values in trial.get("inputs", {}).items():
        array = (inputs or {}).get(name) or _timed_array(model, name)
        write_input(array, values)
    for key, value in trial.get("initial", {}).items():
        group, _, variable = key.partition(".")
        groups[group].variables[variable].set_value(np.asarray(value))
    if trial.get("noise"):
        freeze_noise(network, trial["noise"])


def write_input(array, values):
    """Give a `TimedArray` other values, in place; Brian2 ignores a new array after the first run.

    Raises
    ------
    ValueError
        If the shape differs.
    """
    values = np.asarray(values, dtype=float)
    if values.shape != array.values.shape:
        raise ValueError(
            f"The TimedArray {array.name} has the shape {array.values.shape}, but the trial's values have "
            f"{values.shape}. Make it as long as a trial: TimedArray(zeros({values.shape}), dt=...)."
        )
    array.values[:] = values
