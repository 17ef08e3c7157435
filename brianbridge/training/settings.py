"""What was asked for, as text and numbers: for the manifest, and to tell one training from another."""

import dataclasses
import functools
import json
from collections.abc import Mapping

import numpy as np
from brian2 import TimedArray
from brian2.core.variables import VariableView

from brianbridge.model.naming import variable_name

__all__ = ["as_text", "plain"]


def as_text(thing, model):
    """A loss, regulariser, optimiser or rule as text that is the same in every process.

    Parameters
    ----------
    thing : object
    model : Model
        For the names of Brian2's objects.

    Returns
    -------
    str
    """
    if isinstance(thing, VariableView) or (hasattr(thing, "variables") and hasattr(thing, "name")):
        return ".".join(variable_name(thing, model))
    if isinstance(thing, TimedArray):
        return thing.name
    if isinstance(thing, functools.partial):
        options = [f"{key}={as_text(value, model)}" for key, value in thing.keywords.items()]
        options = [*(as_text(value, model) for value in thing.args), *options]
        return f"{as_text(thing.func, model)}({', '.join(options)})"
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        shown = [f for f in dataclasses.fields(thing) if f.repr]
        values = ", ".join(f"{f.name}={as_text(getattr(thing, f.name), model)}" for f in shown)
        return f"{type(thing).__name__}({values})"
    if isinstance(thing, tuple | list):
        return f"({', '.join(as_text(item, model) for item in thing)})"
    text = getattr(thing, "__name__", None) or (thing if isinstance(thing, str) else repr(thing))
    return type(thing).__name__ if " at 0x" in text else text


def plain(value):
    """The same as JSON would give it back: numbers, text, lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.loads(json.dumps(value, default=str))
