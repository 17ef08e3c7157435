"""Quantities in text: ``'5*ms'``, ``'5*mV/ms**0.5'``. Read, never executed."""

import ast
import operator

import numpy as np
from brian2.core.namespace import DEFAULT_UNITS
from brian2.units import second
from brian2.units.fundamentalunits import DimensionMismatchError, get_dimensions

__all__ = ["read_quantity", "seconds_of"]

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def read_quantity(text):
    """Value of an expression of numbers and Brian2 units.

    Parameters
    ----------
    text : str, int or float

    Returns
    -------
    Quantity or float

    Raises
    ------
    ValueError
        Quoting the text, where it holds anything but numbers, units and arithmetic.
    """
    if isinstance(text, bool) or not isinstance(text, int | float | str) or len(str(text)) > 200:
        raise ValueError(f"expected a quantity such as '5*ms', found {text!r:.80}.")
    try:
        with np.errstate(all="ignore"):
            value = text if not isinstance(text, str) else _value(_parsed(text), text)
            finite = np.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{text!r} is not a finite number.")
    return value if isinstance(text, str) else float(text)


def seconds_of(dt):
    """A time step in seconds.

    Parameters
    ----------
    dt : Quantity

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is no time, or not positive and finite.
    """
    try:
        dimensions = get_dimensions(dt)
        step = float(dt)
    except (TypeError, ValueError):
        raise ValueError(f"dt={dt!r} is not one time step; write for example dt=0.5*ms.") from None
    if dimensions is not second.dim:
        raise ValueError(f"dt={dt!r} is not a time; write for example dt=0.5*ms.")
    if not 0 < step < np.inf:
        raise ValueError(f"dt={dt!r} is not a positive time; write for example dt=0.5*ms.")
    return step


def _parsed(text):
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} is not a quantity; write it like '5*ms'.") from None


def _value(node, text):
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        if node.id in DEFAULT_UNITS:
            return DEFAULT_UNITS[node.id]
        raise ValueError(f"{text!r}: {node.id!r} is not a unit that Brian2 knows.")
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = _value(node.left, text), _value(node.right, text)
        if isinstance(node.op, ast.Pow) and not (isinstance(right, int | float) and abs(right) <= 10):
            raise ValueError(f"{text!r}: an exponent must be a number of at most 10.")
        try:
            return OPERATORS[type(node.op)](left, right)
        except (ArithmeticError, TypeError, ValueError, DimensionMismatchError) as error:
            raise ValueError(f"{text!r}: {error}") from None
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.operand, text))
    raise ValueError(f"{text!r} holds more than numbers, units and arithmetic.")
