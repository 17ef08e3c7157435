"""Turn what users name things with (Brian2's own objects, or text) into names of the model."""

import difflib

from brian2 import TimedArray
from brian2.core.variables import VariableView

__all__ = ["UnknownName", "input_name", "variable_name"]


class UnknownName(KeyError):
    """Nothing in the model has this name."""

    def __str__(self):
        return self.args[0]


def variable_name(key, model, namespace=None):
    """The variable or event that a key stands for.

    Parameters
    ----------
    key : VariableView, NeuronGroup or str
        ``cells.v``; ``cells`` for the spikes of a group; or text, first read as Brian2's own names
        (``'neurongroup.v'``), then as variables of the caller (``'cells.v'``).
    model : Model
    namespace : Mapping, optional
        The caller's variables.

    Returns
    -------
    group, variable : str
        The variable is the name of an event (``'spike'``) where a whole group was given.

    Raises
    ------
    UnknownName
        With the closest names.
    """
    if isinstance(key, VariableView):
        group, variable, shown = key.group_name, key.name, f"{key.group_name}.{key.name}"
    elif isinstance(key, str):
        group, _, variable = key.partition(".")
        shown = repr(key)
        known = {g.name for g in model.groups}
        if group not in known and namespace and hasattr(namespace.get(group), "name"):
            group = namespace[group].name
    elif hasattr(key, "name"):
        group, variable, shown = key.name, "", key.name
    else:
        raise TypeError(f"{key!r} does not name anything; use a Brian2 object such as cells.v, or text.")
    variable = variable or "spike"
    names = _names(model)
    if (group, variable) not in names:
        raise UnknownName(f"The model has no {shown}.{_suggestion(f'{group}.{variable}', names)}")
    return group, variable


def input_name(key, model):
    """Name of the `TimedInput` that a `TimedArray` or text stands for."""
    if isinstance(key, TimedArray):
        for timed in model.inputs:
            if timed.brian_name == key.name:
                return timed.name
        shown = key.name
    else:
        if any(timed.name == key for timed in model.inputs):
            return key
        shown = repr(key)
    known = ", ".join(timed.name for timed in model.inputs) or "none"
    raise UnknownName(f"The equations of this model use no TimedArray {shown}; they use: {known}.")


def _names(model):
    names = set()
    for group in model.groups:
        names |= {(group.name, variable) for variable in group.values}
        names |= {(group.name, event) for event in getattr(group, "events", ())}
        names |= {(group.name, variable) for variable in group.subexpressions()}
    return names


def _suggestion(wanted, names):
    texts = sorted(".".join(name) for name in names)
    close = difflib.get_close_matches(wanted, texts, n=3, cutoff=0.5)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" It has {', '.join(texts[:12])}{', ...' if len(texts) > 12 else ''}."
