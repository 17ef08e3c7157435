"""Turn what users name things with (Brian2's own objects, or text) into names of the model."""

import sys

from brian2 import Subgroup, TimedArray
from brian2.core.variables import VariableView

from brianbridge.model.members import MONITORS
from brianbridge.spelling import hint

__all__ = ["UnknownName", "caller_names", "input_name", "monitor_name", "trainable_name", "variable_name"]


class UnknownName(KeyError):
    """Nothing in the model has this name."""

    def __str__(self):
        return self.args[0]


def caller_names():
    """Global and local variables of the function that called brianbridge.

    Returns
    -------
    dict
    """
    frame = sys._getframe(1)
    inside = ("brianbridge", "torch")  # a Surrogate is called through torch.nn.Module
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in inside:
        frame = frame.f_back
    return {**frame.f_globals, **frame.f_locals}


def variable_name(key, model):
    """The variable or event that a key stands for.

    Parameters
    ----------
    key : VariableView, NeuronGroup or str
        ``cells.v``; ``cells`` for the spikes of a group; or text, first read as Brian2's own names
        (``'neurongroup.v'``), then as variables of the caller (``'cells.v'``).
    model : Model

    Returns
    -------
    group, variable : str
        The variable is the name of an event (``'spike'``) where a whole group was given.

    Raises
    ------
    UnknownName
        With the closest names.
    TypeError
        If the key is neither text nor an object of Brian2.
    """
    if isinstance(key, VariableView):
        if not key.name.endswith(("_pre", "_post")):  # these belong to other groups, and Synapses are no part
            _refuse_part(key.group_name, key.variable.owner, key.name, model)
        group, variable = key.group_name, key.name
    elif isinstance(key, str):
        group, _, variable = key.partition(".")
        group = _brian_name(group, variable, model)
    elif isinstance(key, TimedArray):
        raise UnknownName(f"The TimedArray {key.name} is an input, not a variable of a group.")
    elif hasattr(key, "name") and hasattr(key, "variables"):
        if isinstance(key, Subgroup):
            _refuse_part(key.name, key.source, "", model)
        group, variable = key.name, ""
    else:
        raise TypeError(
            f"{key!r} does not name anything; use an object of Brian2 such as cells.v, or text such as "
            "'cells.v'."
        )
    known = _variables(model)
    if group not in known:
        raise UnknownName(_no_group(group, variable, known))
    variable = variable or "spike"
    if variable not in known[group]:
        raise UnknownName(_no_variable(group, variable, known, model))
    return group, variable


def input_name(key, model):
    """Name of the `TimedInput` that a `TimedArray` or text stands for.

    Parameters
    ----------
    key : TimedArray or str
        Text is the name in the equations, or a variable of the caller that holds the `TimedArray`.
    model : Model

    Returns
    -------
    str

    Raises
    ------
    UnknownName
        If the equations do not use it.
    """
    names = [timed.name for timed in model.inputs]
    if isinstance(key, str):
        if key in names:
            return key
        found = caller_names().get(key)
        key = found if isinstance(found, TimedArray) else key
    if isinstance(key, TimedArray):
        for timed in model.inputs:
            # models from files know the name in the equations only
            if timed.brian_name == key.name or caller_names().get(timed.name) is key:
                return timed.name
    shown = key.name if isinstance(key, TimedArray) else repr(key)
    said = _suggestion(key, names) if isinstance(key, str) else ""
    known = ", ".join(names) or "none"
    raise UnknownName(f"The equations of this model use no TimedArray {shown}; they use: {known}.{said}")


def monitor_name(key, model):
    """Name of the monitor that a key stands for.

    Parameters
    ----------
    key : StateMonitor, SpikeMonitor, EventMonitor, PopulationRateMonitor, str or anything else
        Text is Brian2's name, or a variable of the caller that holds the monitor.
    model : Model

    Returns
    -------
    str or None
        None if it stands for no monitor.

    Raises
    ------
    UnknownName
        If it is a monitor that the model does not have.
    """
    names = [monitor.name for monitor in model.monitors]
    if isinstance(key, str):
        if key in names:
            return key
        if "." in key or any(group.name == key for group in model.groups):
            return None
        key = caller_names().get(key)
    if not isinstance(key, MONITORS):
        return None
    if key.name not in names:
        raise UnknownName(
            f"The model has no monitor {key.name!r}; its monitors are {', '.join(names) or 'none'}. They are "
            "those of the network that was wrapped, if they sample with a fixed time step."
        )
    return key.name


def trainable_name(key, model):
    """Name of the trained parameter that a key stands for.

    Parameters
    ----------
    key : VariableView, TimedArray or str
        Named as in ``wrap(train=...)``: a trained constant by its own name.
    model : Model

    Returns
    -------
    str

    Raises
    ------
    UnknownName
        If it is not trained.
    """
    names = {target: trainable.name for trainable in model.trainable for target in trainable.targets}
    if isinstance(key, str):
        constants = [name for (group, variable), name in names.items() if key in (name, variable) and group]
        if constants:
            return constants[0]
    inputs = [timed.name for timed in model.inputs]
    is_input = isinstance(key, TimedArray) or (isinstance(key, str) and key in inputs)
    target = ("", input_name(key, model)) if is_input else variable_name(key, model)
    if target not in names:
        trained = ", ".join(dict.fromkeys(names.values())) or "nothing"
        raise UnknownName(f"{'.'.join(filter(None, target))} is not trained; trained are {trained}.")
    return names[target]


def _brian_name(group, variable, model):
    """Brian2's name of a group that text names: already that, or a variable of the caller."""
    if any(group == g.name for g in model.groups):
        return group
    found = caller_names().get(group)
    if not hasattr(found, "variables") or not hasattr(found, "name"):
        return group
    if isinstance(found, Subgroup):
        _refuse_part(found.name, found.source, variable, model)
    return found.name


def _refuse_part(name, whole, variable, model):
    """A subgroup has a name of its own, which no model knows: parts are chosen by a mask."""
    names = {group.name for group in model.groups}
    if name in names or whole is None or whole.name not in names:
        return
    part, better = (f"{group}.{variable}".strip(".") for group in (name, whole.name))
    raise UnknownName(
        f"{part} belongs to a subgroup of {whole.name!r}. Name the whole group, {better}: a mask trains a "
        "part of it (mask=array of bool), and an index picks a part of a record."
    )


def _variables(model):
    """Everything that can be named, by group."""
    return {
        group.name: {*group.values, *getattr(group, "events", ()), *group.subexpressions()}
        for group in model.groups
    }


def _no_group(group, variable, known):
    texts = sorted(f"{name}.{v}" for name, variables in known.items() for v in variables)
    said = _suggestion(f"{group}.{variable}", texts) if variable else _suggestion(group, known)
    return f"The model has no group {group!r}; its groups are {', '.join(known)}.{said}"


def _no_variable(group, variable, known, model):
    base, _, side = variable.rpartition("_")
    if side in ("pre", "post") and hasattr(model[group], "pathways"):
        owner = (model[group].source if side == "pre" else model[group].target)[0]
        if base in known[owner]:
            return f"{group}.{variable} is a variable of {owner!r}; write {owner}.{base}."
    if variable == "spike":
        return f"{group} has no threshold and therefore no spikes; name one of its variables."
    said = _suggestion(f"{group}.{variable}", [f"{group}.{v}" for v in known[group]])
    return f"{group} has no variable {variable!r} that can be named.{said}"


def _suggestion(wanted, texts):
    """What may have been meant, or what there is."""
    texts = sorted(texts)
    listed = f" It has {', '.join(texts[:12])}{', ...' if len(texts) > 12 else ''}." if texts else ""
    return hint(wanted, texts) or listed
