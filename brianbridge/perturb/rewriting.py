"""How a perturbation gets into a network: values that are held while a gate is open.

Everything that can be done to a network during an epoch becomes one thing: some elements of one variable
have given values while a timed input, the gate, is 1. That is text, values and a `TimedArray`, and therefore
runs on every device, in one piece, at any time step.
"""

import re
from dataclasses import replace

import numpy as np
from brian2.equations.equations import PARAMETER, parse_string_equations
from brian2.units.fundamentalunits import DIMENSIONLESS
from brian2.utils.stringtools import word_substitute

from brianbridge.model.description import TimedInput
from brianbridge.model.equation_text import rewritten, unit_text
from brianbridge.model.groups import Operation
from brianbridge.perturb.writers import writers_of

__all__ = ["as_parameter", "hold", "parameters_of", "reads_replaced", "with_gate", "with_parameter"]

FIRST, LAST = -(10**5), 10**5  # before and after all else in a scheduling slot


def with_gate(model, inputs, windows, dt):
    """A model with one more timed input, which opens and closes a gate.

    Parameters
    ----------
    model : Model
    inputs : dict of str to ndarray
        Values of the timed inputs in all trials.
    windows : bool array (time, trials)
        When the gate is open.
    dt : float
        Time step of the windows in seconds.

    Returns
    -------
    model : Model
    inputs : dict
    name : str
        Of the gate.
    """
    number = sum(timed.name.startswith("perturbed_") for timed in model.inputs)
    name = f"perturbed_{number}"
    values = windows.astype(float)
    timed = TimedInput(name, values[:, 0], DIMENSIONLESS, dt)
    return replace(model, inputs=(*model.inputs, timed)), {**inputs, name: values}, name


def hold(model, group, variable, values, chosen, gate, *, state):
    """Hold a variable of the chosen elements at given values while a gate is open.

    Parameters
    ----------
    model : Model
    group, variable : str
    values : array (n,)
        SI.
    chosen : bool array (n,)
    gate : str
        Name of a timed input of the model.
    state : bool
        States are held in every step, from its beginning to its end, and left alone when the gate closes.
        Parameters go back to what they were.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If something else writes a parameter, whose value at the end of the epoch nobody knows.
    """
    number = len(model[group].operations)
    held, where, outside = (f"{variable}_{word}_{number}" for word in ("held", "where", "outside"))
    dimensions = model.dimensions((group, variable))
    model = with_parameter(model, group, held, dimensions, np.where(chosen, values, 0.0))
    model = with_parameter(model, group, where, DIMENSIONLESS, chosen.astype(float))
    base = variable
    if not state and not _is_held(model[group], variable):  # of several, the first one puts it back
        _check_constant(model, group, variable)
        model = with_parameter(model, group, outside, dimensions, model[group].values[variable])
        base = outside
    code = f"{variable} = {held}*{where}*{gate}(t) + {base}*(1 - {where}*{gate}(t))"
    slots = [(model.schedule[0], FIRST + number)]
    if state:
        code = _also_while_refractory(model[group], variable, code)
        slots += [("before_thresholds", LAST + number), (model.schedule[-1], LAST + number)]
    operations = tuple(
        Operation(
            name=f"{group}_hold_{variable}_{number}_{place}",
            code=code,
            dt=None,
            when=when,
            order=order,
            active=True,
            part=None,
        )
        for place, (when, order) in enumerate(slots)
    )
    changed = replace(
        model[group],
        operations=model[group].operations + operations,
        inputs={**model[group].inputs, gate: gate},
    )
    return model.with_group(changed)


def with_parameter(model, group, name, dimensions, values):
    """A model with one more parameter in a group, one value for every element."""
    old = model[group]
    equations = f"{old.equations}\n{name} : {unit_text(dimensions)} (constant)"
    values = np.broadcast_to(np.asarray(values, dtype=float), (old.n,))
    return model.with_group(replace(old, equations=equations, values={**old.values, name: values}))


def as_parameter(model, group, name):
    """A model in which a constant, or a shared parameter, has a value of its own for every element."""
    old = model[group]
    if name in old.constants:
        constant = old.constants[name]
        rest = {key: value for key, value in old.constants.items() if key != name}
        model = model.with_group(replace(old, constants=rest))
        return with_parameter(model, group, name, constant.dimensions, constant.value)
    equation = parse_string_equations(old.equations).get(name)
    if equation is not None and "shared" in equation.flags:
        rest = [flag for flag in equation.flags if flag != "shared"]
        equations = rewritten(old.equations, flags=lambda each: rest if each.varname == name else None)
        values = {**old.values, name: np.broadcast_to(old.values[name], (old.n,))}
        model = model.with_group(replace(old, equations=equations, values=values))
    return model


def reads_replaced(equations, name, expression):
    """Equation text in which whoever reads a variable reads an expression instead."""
    return rewritten(equations, lambda equation: word_substitute(equation.expr.code, {name: expression}))


def parameters_of(group):
    """Names of what a group's equations declare without saying how it changes."""
    equations = parse_string_equations(group.equations).values()
    return [equation.varname for equation in equations if equation.type == PARAMETER]


def _check_constant(model, group, variable):
    writers = writers_of(model, group, variable)
    if writers:
        raise ValueError(
            f"{group}.{variable} changes while the network runs ({', '.join(writers)} writes it), so that it "
            "cannot be put back when the epoch ends. Without during= it starts with the other value; or "
            "perturb what it acts on."
        )


def _is_held(group, variable):
    return any(re.search(rf"_hold_{variable}_\d+_\d+$", operation.name) for operation in group.operations)


def _also_while_refractory(group, variable, code):
    """Brian2 does not write a variable ``(unless refractory)`` while a neuron is."""
    if "unless refractory" not in parse_string_equations(group.equations)[variable].flags:
        return code
    return f"_was = not_refractory\nnot_refractory = True\n{code}\nnot_refractory = _was"
