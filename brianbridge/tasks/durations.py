"""Durations that differ from trial to trial.

In a file they are text such as ``'uniform(2500 ms, 3500 ms)'``, which is never executed.
"""

import inspect
import re
from dataclasses import dataclass, fields

import numpy as np
from brian2.units import Quantity, second

from brianbridge.spelling import did_you_mean
from brianbridge.tasks.arguments import read_duration, show, write_quantity

NAME_AND_ARGUMENTS = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")


class _Distribution:
    """Durations in seconds; the fields of a subclass are its durations, of which the last two are bounds."""

    def __post_init__(self):
        for field in fields(self):
            value = read_duration(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if not self.low < self.high:
            raise ValueError(f"low={show(self.low)} must be shorter than high={show(self.high)}")

    def __str__(self):
        values = ", ".join(write_quantity(getattr(self, field.name)) for field in fields(self))
        return f"{self.name}({values})"


@dataclass(frozen=True, eq=False)
class Uniform(_Distribution):
    """Every duration from `low` to `high` is equally likely.

    Parameters
    ----------
    low, high : Quantity or str
    """

    low: Quantity
    high: Quantity
    name = "uniform"

    def quantile(self, probability):
        """Return the durations (Quantity) below which these fractions of all durations lie."""
        return self.low + (self.high - self.low) * probability


@dataclass(frozen=True, eq=False)
class TruncatedExponential(_Distribution):
    """An exponential distribution of which only what lies between `low` and `high` is kept.

    Parameters
    ----------
    mean : Quantity or str
        Of the distribution before it is truncated.
    low, high : Quantity or str
    """

    mean: Quantity
    low: Quantity
    high: Quantity
    name = "truncated_exponential"

    def __post_init__(self):
        super().__post_init__()
        read_duration("mean", self.mean, zero=False)

    def quantile(self, probability):
        """Return the durations (Quantity) below which these fractions of all durations lie."""
        kept = -np.expm1(-float((self.high - self.low) / self.mean))
        return self.low - self.mean * np.log1p(-kept * probability)


DISTRIBUTIONS = {kind.name: kind for kind in (Uniform, TruncatedExponential)}


def read_random_duration(name, value):
    """Read a duration, fixed or random.

    Parameters
    ----------
    name : str
        What the argument is called, for error messages.
    value : Quantity, str, Uniform or TruncatedExponential
        Such as ``'300 ms'``, or ``'uniform(2500 ms, 3500 ms)'``.

    Returns
    -------
    Quantity, Uniform or TruncatedExponential
    """
    if isinstance(value, _Distribution):
        return value
    match = NAME_AND_ARGUMENTS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return read_duration(name, value)
    kind, arguments = match.groups()
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"{name}={value!r}: no distribution '{kind}'; {did_you_mean(kind, DISTRIBUTIONS)}")
    wanted, given = list(inspect.signature(DISTRIBUTIONS[kind]).parameters), arguments.split(",")
    if len(given) != len(wanted):
        example = f"{kind}({', '.join(f'{100 * (n + 1)} ms' for n in range(len(wanted)))})"
        raise ValueError(f"{name}={value!r}: {kind} takes {', '.join(wanted)}; write {name}='{example}'")
    try:
        return DISTRIBUTIONS[kind](*given)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}={value!r}: {error}") from None


def draw(duration, rng, batch, dt):
    """Draw the durations of a batch in whole steps, rounded down.

    Parameters
    ----------
    duration : Uniform or TruncatedExponential
    rng : numpy Generator
    batch : int
    dt : Quantity

    Returns
    -------
    Quantity, shape (batch,)
    """
    exact = np.asarray(duration.quantile(rng.random(batch)) / dt, dtype=float)
    return np.floor(exact + 1e-9) * float(dt) * second
