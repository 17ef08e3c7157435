"""Kinds of arguments: the field of a task is declared with one, which reads and checks its value."""

import numbers
from functools import partial
from typing import Annotated

from brianbridge.spelling import did_you_mean
from brianbridge.tasks.arguments import read_duration, read_number, show
from brianbridge.tasks.durations import read_random_duration

__all__ = [
    "Duration",
    "Flag",
    "Fraction",
    "Lasting",
    "Names",
    "Number",
    "Numbers",
    "Options",
    "Pairs",
    "Positive",
    "RandomDuration",
    "Text",
    "one_of",
    "read",
    "word_or",
]


def read(field, value):
    """Read the value of one dataclass field by its kind."""
    if not hasattr(field.type, "__metadata__"):
        raise TypeError(
            f"{field.name}: {field.type} is no kind of argument; write one of brianbridge.tasks.kinds, "
            f"such as {field.name}: Positive (and no `from __future__ import annotations`)"
        )
    return field.type.__metadata__[0](field.name, value)


def one_of(*words):
    """Make the kind of argument that is one of these words."""

    def check(name, value):
        if value not in words:
            raise ValueError(f"{name}={value!r} is unknown; {did_you_mean(value, words)}")
        return value

    return Annotated[str, check]


def word_or(word, reader):
    """Make the kind of argument that is this one word, or what `reader` takes."""
    return Annotated[
        object, lambda name, value: word if isinstance(value, str) and value == word else reader(name, value)
    ]


def _flag(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name}={show(value)} must be True or False")
    return value


def _fraction(name, value):
    if read_number(name, value) > 1:
        raise ValueError(f"{name}={value!r} is a fraction of trials, from 0 to 1, such as {name}=0.1")
    return float(value)


def _text(name, value):
    try:
        return str(value.__fspath__()) if hasattr(value, "__fspath__") else value + ""
    except TypeError:
        raise TypeError(f"{name}={show(value)} must be text") from None


def _numbers(name, value):
    if isinstance(value, numbers.Real):
        value = (value,)
    _check_list(name, value, f"{name}=[1, 2]")
    return tuple(read_number(f"{name}[{place}]", number) for place, number in enumerate(value))


def _pairs(name, value):
    _check_list(name, value, f"{name}=[[18, 10], [22, 14]]")
    pairs = tuple(_numbers(f"{name}[{place}]", pair) for place, pair in enumerate(value))
    if any(len(pair) != 2 or pair[0] == pair[1] for pair in pairs):
        raise ValueError(f"{name}={value!r} must hold pairs of different numbers, such as [[18, 10]]")
    return pairs


def _names(name, value):
    _check_list(name, value, f"{name}=['decision']")
    return tuple(_text(f"{name}[{place}]", word) for place, word in enumerate(value))


def _options(name, value):
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name}={value!r} must be a dictionary of names, such as {name}={{'sigma': 0.5}}")
    return dict(value)


def _check_list(name, value, example):
    if isinstance(value, str) or not hasattr(value, "__len__"):
        raise TypeError(f"{name}={show(value)} must be a list, such as {example}")
    if len(value) == 0:
        raise ValueError(f"{name} is empty; write for instance {example}")


Duration = Annotated[object, read_duration]
Lasting = Annotated[object, partial(read_duration, zero=False)]
RandomDuration = Annotated[object, read_random_duration]
Number = Annotated[float, read_number]
Positive = Annotated[float, partial(read_number, zero=False)]
Fraction = Annotated[float, _fraction]
Numbers = Annotated[tuple, _numbers]
Pairs = Annotated[tuple, _pairs]
Flag = Annotated[bool, _flag]
Text = Annotated[str, _text]
Names = Annotated[tuple, _names]
Options = Annotated[dict, _options]
