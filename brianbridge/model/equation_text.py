"""Equations of live Brian2 objects as text that Brian2 parses again."""

import re

from brian2.equations.equations import (
    BOOLEAN,
    DIFFERENTIAL_EQUATION,
    INTEGER,
    SUBEXPRESSION,
    parse_string_equations,
)
from brian2.units.fundamentalunits import DIMENSIONLESS, get_unit

__all__ = [
    "XI",
    "add_parameter",
    "has_differential_equations",
    "neuron_equations",
    "rewritten",
    "statements",
    "strip_trainable",
    "subexpression_names",
    "synapse_equations",
    "unit_text",
    "variable_dimensions",
]

XI = re.compile(r"\bxi(_\w+)?\b")  # white noise, also by a name of its own


def unit_text(dimensions):
    """Coherent SI unit as text that Brian2 reads in equations: ``'volt'``, ``'siemens / meter ** 2'``."""
    if dimensions is DIMENSIONLESS:
        return "1"
    text = repr(get_unit(dimensions))
    text = re.sub(r"/ \((\w+( \*\* \d+)?)\)", r"/ \1", text)  # in equations, brackets hold flags
    text = re.sub(r"([a-z])(\d)", r"\1 ** \2", text)  # volt2 is a name in Python only
    return repr(dimensions) if "(" in text else text


def _line(equation, expression=None, flags=None):
    kind = {BOOLEAN: "boolean", INTEGER: "integer"}.get(equation.var_type) or unit_text(equation.dim)
    name = f"d{equation.varname}/dt" if equation.type == DIFFERENTIAL_EQUATION else equation.varname
    expression = expression or (equation.expr.code if equation.expr is not None else None)
    flags = equation.flags if flags is None else flags
    definition = f"{name} = {expression}" if expression else name
    return f"{definition} : {kind}" + (f" ({', '.join(flags)})" if flags else "")


def neuron_equations(group):
    """The equations of a `NeuronGroup` as its user wrote them, one a line."""
    return "\n".join(_line(equation) for equation in group.user_equations.values())


def synapse_equations(synapses):
    """The equations of a `Synapses`, put together again from the parts into which Brian2 splits them."""
    constant = {}
    if synapses.subexpression_updater is not None:
        lines = synapses.subexpression_updater.abstract_code.strip().split("\n")
        constant = dict(line.split(" = ", 1) for line in lines)
    lines = []
    for equation in synapses.equations.values():
        if equation.varname == synapses.multisynaptic_index:
            continue
        if equation.varname in constant:
            lines.append(_line(equation, constant[equation.varname], ["constant over dt"]))
        else:
            lines.append(_line(equation))
    if synapses.event_driven is not None:
        lines += [_line(eq) for eq in synapses.event_driven.values() if eq.type == DIFFERENTIAL_EQUATION]
    for target, updater in synapses.summed_updaters.items():
        unit = unit_text(updater.target_var.dim)
        lines.append(f"{target} = {updater.expression.code} : {unit} (summed)")
    return "\n".join(lines)


def rewritten(text, expression=None, flags=None):
    """Equation text with other right-hand sides or flags, one equation a line.

    Parameters
    ----------
    text : str
    expression : callable, optional
        Of every parsed equation that has a right-hand side: another one, or None to keep it.
    flags : callable, optional
        Of every parsed equation: other flags, or None to keep them.

    Returns
    -------
    str
    """
    return "\n".join(
        _line(
            equation,
            expression(equation) if expression and equation.expr is not None else None,
            flags(equation) if flags else None,
        )
        for equation in parse_string_equations(text).values()
    )


def statements(code):
    """The statements of abstract code, without comments; they end where they end for Brian2.

    Parameters
    ----------
    code : str
        ``'v = v_reset; n += 1  # counted'``.

    Returns
    -------
    list of str
    """
    lines = (line.partition("#")[0].strip() for line in re.split(r"[;\n]", code))
    return [line for line in lines if line]


def strip_trainable(text):
    """Take the flag ``trainable`` out of equation text.

    Brian2's own parser reads the flag; only `NeuronGroup` and `Synapses` would reject it.

    Parameters
    ----------
    text : str
        Brian2 equations, in which parameters may carry the flag ``trainable``.

    Returns
    -------
    text : str
        The same without the flag.
    names : tuple of str
        The flagged variables.

    Raises
    ------
    ValueError
        If something other than a parameter or a state variable is flagged.
    """
    flagged = [eq for eq in parse_string_equations(text).values() if "trainable" in eq.flags]
    for equation in flagged:
        if equation.type == SUBEXPRESSION:
            raise ValueError(
                f"'{equation.varname} = {equation.expr.code}' is flagged trainable, but it is computed from "
                "other variables. Flag the parameters in its expression instead."
            )
    text = re.sub(r",\s*trainable\b", "", text)
    text = re.sub(r"\(\s*trainable\s*,\s*", "(", text)
    text = re.sub(r"\(\s*trainable\s*\)", "", text)
    return text, tuple(equation.varname for equation in flagged)


def add_parameter(text, name, dimensions):
    """Append a ``(shared, constant)`` parameter to equation text."""
    return f"{text}\n{name} : {unit_text(dimensions)} (shared, constant)"


def has_differential_equations(text):
    """Whether equation text holds a line ``dx/dt = ...``."""
    return any(equation.type == DIFFERENTIAL_EQUATION for equation in parse_string_equations(text).values())


def subexpression_names(text):
    """Names that equation text computes from others, summed variables of `Synapses` aside."""
    return tuple(
        equation.varname
        for equation in parse_string_equations(text).values()
        if equation.type == SUBEXPRESSION and "summed" not in equation.flags
    )


def variable_dimensions(text):
    """Physical dimensions of everything that equation text defines.

    Returns
    -------
    dict of str to Dimension
    """
    return {equation.varname: equation.dim for equation in parse_string_equations(text).values()}
