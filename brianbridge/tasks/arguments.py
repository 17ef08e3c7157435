"""Arguments of tasks: checked where they come in, and written as text for files.

In a file a quantity is text, ``'300 ms'`` or ``'300*ms'``. Such text is never executed: it is one number and
the name of one of Brian2's units.
"""

import inspect
import numbers
import operator
import re

import numpy as np
from brian2.core.namespace import DEFAULT_UNITS
from brian2.units import Quantity, get_unit, ms, second

from brianbridge.spelling import did_you_mean

NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
NUMBER_AND_UNIT = re.compile(rf"\s*({NUMBER})\s*\*?\s*([A-Za-z]\w*)\s*")


def read_quantity(name, value, unit):
    """Read one quantity, from Brian2 or from text.

    Parameters
    ----------
    name : str
        What the argument is called, for error messages.
    value : Quantity or str
        ``300*ms``, ``'300 ms'`` or ``'300*ms'``.
    unit : Unit
        Any unit of the dimension that is expected; error messages give it as an example.

    Returns
    -------
    Quantity
        A scalar.

    Raises
    ------
    ValueError
        If the text is not a number and a unit, or the dimension, shape or size is wrong.
    TypeError
        If the value is neither a quantity nor text.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    example = f"{value if is_number else 1}*{_usual_name(unit)}"
    remedy = f"write {name}={example} or {name}='{example}'"
    if isinstance(value, str):
        quantity = _parse(name, value, unit, remedy)
    elif isinstance(value, Quantity):
        quantity = value
    elif is_number:
        raise ValueError(f"{name}={value!r} has no unit; {remedy}")
    else:
        raise TypeError(f"{name}={value!r} is not a quantity; {remedy}")
    if quantity.dim is not unit.dim:
        raise ValueError(f"{name}={show(value)} has the wrong dimension; {remedy}")
    if quantity.shape != ():
        raise ValueError(f"{name}={show(value)} is not one value; {remedy}")
    if not np.isfinite(float(quantity)):
        raise ValueError(f"{name}={show(value)} is not finite; {remedy}")
    return Quantity.with_dimensions(float(quantity), unit.dim)


def _parse(name, text, unit, remedy):
    match = NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        raise ValueError(f"{name}={text!r} is not a number followed by a unit; {remedy}")
    number, unit_name = match.groups()
    if unit_name not in DEFAULT_UNITS:
        candidates = {known: other for known, other in DEFAULT_UNITS.items() if other.dim is unit.dim}
        # Brian2 prints seconds as 's', but does not read that.
        printed_so = {known for known, other in candidates.items() if str(other) == unit_name}
        suggestion = did_you_mean(min(printed_so, default=unit_name), candidates)
        raise ValueError(f"{name}={text!r}: Brian2 has no unit '{unit_name}'; {suggestion}")
    return float(number) * DEFAULT_UNITS[unit_name]


def read_duration(name, value, zero=True):
    """Read one duration: see `read_quantity`, which this extends by refusing negative values.

    Parameters
    ----------
    name : str
    value : Quantity or str
    zero : bool
        Whether a duration of zero is allowed.

    Returns
    -------
    Quantity
    """
    duration = read_quantity(name, value, ms)
    if duration < 0 * second or (not zero and duration == 0 * second):
        allowed = "must not be negative" if zero else "must be longer than zero"
        raise ValueError(f"{name}={show(value)} {allowed}; write for instance {name}=100*ms")
    return duration


def read_number(name, value, zero=True):
    """Read one plain, finite number that is not negative (and not zero, unless `zero`).

    Raises
    ------
    ValueError
        If the number is out of range.
    TypeError
        If it is not a number, or has a unit.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}={show(value)} must be a number without a unit, such as {name}=0.5")
    if not np.isfinite(value) or value < 0 or (value == 0 and not zero):
        allowed = "of at least 0" if zero else "above 0"
        raise ValueError(f"{name}={value!r} must be a finite number {allowed}, such as {name}=0.5")
    return float(value)


def read_batch(batch):
    """Read a number of trials: an integer of at least 1."""
    try:
        count = operator.index(batch)
    except TypeError:
        raise TypeError(f"batch={batch!r} must be a whole number of trials, such as batch=10") from None
    if count < 1:
        raise ValueError(f"batch={batch!r} must be at least 1 trial, such as batch=10")
    return count


def read_generator(rng):
    """Return the numpy Generator itself, or a new one from an integer seed.

    Nothing else is taken: without a seed the trials could never be drawn again.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise TypeError(
        f"rng={rng!r} must be a numpy Generator or a seed (an integer of at least 0), "
        f"such as rng=np.random.default_rng(1) or rng=1"
    )


def write_quantity(quantity):
    """Write a scalar quantity as text that `read_quantity` reads back to exactly the same value.

    Parameters
    ----------
    quantity : Quantity

    Returns
    -------
    str
        Such as ``'300 ms'``; in the base unit with all digits where no shorter text is exact.
    """
    value = float(quantity)
    for unit in (quantity.get_best_unit(), get_unit(quantity.dim)):
        number = value / float(unit)
        for digits in (f"{number:.12g}", repr(number)):
            if float(digits) * float(unit) == value:
                return f"{digits} {_usual_name(unit)}"
    raise ValueError(f"cannot write {quantity!r} as text")


def written_arguments(task):
    """Collect the arguments a task was made with, as they are written to a file.

    Parameters
    ----------
    task : object
        Keeps every argument of its constructor as an attribute of the same name.

    Returns
    -------
    dict
        Name to number, text, truth value or list, for JSON and TOML; ``type(task)(**arguments)`` builds the
        same task again.
    """
    return {name: _written(getattr(task, name)) for name in inspect.signature(type(task)).parameters}


def _written(value):
    if isinstance(value, Quantity):
        return write_quantity(value)
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    return value if isinstance(value, str | int | float | dict) else str(value)


def show(value):
    """Show a value in a message: quantities as ``300*ms`` to six digits, anything else as Python does."""
    if not isinstance(value, Quantity) or value.shape != ():
        return repr(value)
    unit = value.get_best_unit()
    return f"{float(value) / float(unit):.6g}*{_usual_name(unit)}"


def _usual_name(unit):
    """Return 'ms' rather than 'msecond', but 'second', because Brian2 does not read 's'."""
    return str(unit) if str(unit) in DEFAULT_UNITS else unit.name
