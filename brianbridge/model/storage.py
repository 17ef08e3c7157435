"""A `Model` as JSON text and arrays, and back; nothing in it is executed or imported when read.

Arrays are called as what they hold: ``cells.tau_m`` for values, ``rec.i`` and ``rec.j`` for the connected
pairs, ``rec.pre.delay``, ``stimulus`` for a timed input, ``rec.w.mask`` and ``rec.w.tie`` for constraints.
"""

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping

import numpy as np
from brian2.units.fundamentalunits import Dimension, Quantity, get_or_create_dimension

from brianbridge.model.constraints import Bounds, Constraint, Dale, Free, Positive, Trainable
from brianbridge.model.description import Model, TimedInput
from brianbridge.model.groups import (
    Constant,
    Group,
    Link,
    Neurons,
    Operation,
    Pathway,
    PoissonDrive,
    PoissonNeurons,
    Projection,
    SpikeTimes,
)
from brianbridge.model.low_rank import LowRank, end_size
from brianbridge.model.text_limits import check_code, check_equations

__all__ = ["StorageError", "model_from_parts", "model_hash", "model_to_parts"]

KNOWN = {
    cls.__name__: cls
    for cls in (
        Model,
        Neurons,
        PoissonNeurons,
        SpikeTimes,
        Projection,
        Pathway,
        Link,
        Operation,
        PoissonDrive,
        TimedInput,
        Constant,
        Trainable,
        Bounds,
        Dale,
        Free,
        Positive,
        LowRank,
    )
}
#: Fields whose names do not appear in the names of arrays.
UNNAMED = ("groups", "inputs", "trainable", "pathways", "operations", "values", "constraint")
DEEPEST = 20
LARGEST_GROUP = 100_000_000  # elements
LONGEST_DELAY = 10_000_000  # steps


class StorageError(ValueError):
    """A stored model cannot be read."""


def model_to_parts(model):
    """Split a model into text and arrays.

    Parameters
    ----------
    model : Model

    Returns
    -------
    text : str
        JSON; arrays are referred to by name.
    arrays : dict of str to ndarray
    """
    arrays = {}
    document = _to_plain(model, "", arrays)
    return json.dumps(document, sort_keys=True), arrays


def model_from_parts(text, arrays):
    """Rebuild a model.

    Parameters
    ----------
    text : str
    arrays : dict of str to ndarray

    Returns
    -------
    Model
        Without the user's own functions, which are code: hand them over with
        ``dataclasses.replace(model, functions=...)``.

    Raises
    ------
    StorageError
        If the text is not that of a model, or does not fit the arrays.
    """
    try:
        model = _from_plain(json.loads(text), arrays, 0)
        if not isinstance(model, Model):
            raise StorageError("This is not a stored model.")
        _check_model(model)
    except StorageError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise StorageError(f"This is not a stored model: {type(error).__name__}, {error}") from None
    return model


def model_hash(model):
    """SHA-256 of text and arrays: two models with the same hash take the same steps."""
    text, arrays = model_to_parts(model)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


# -- to text and arrays -------------------------------------------------------------------------------


def _to_plain(value, path, arrays):
    if dataclasses.is_dataclass(value):
        path = _joined(path, getattr(value, "name", ""))
        fields = {
            field.name: _to_plain(
                getattr(value, field.name), _joined(path, "" if field.name in UNNAMED else field.name), arrays
            )
            for field in dataclasses.fields(value)
            if field.metadata.get("stored", True)
        }
        return {"class": type(value).__name__, **fields}
    if isinstance(value, Dimension):
        return {"dimensions": [float(x) for x in value._dims]}
    if isinstance(value, Quantity) and value.shape == ():
        return {"quantity": float(value), "of": [float(x) for x in value.dim._dims]}
    if isinstance(value, np.ndarray):
        if path in arrays:
            raise StorageError(f"Two arrays of the model are called {path}.")
        arrays[path] = value
        return {"array": path}
    if isinstance(value, Mapping):
        return {"mapping": {key: _to_plain(item, _joined(path, key), arrays) for key, item in value.items()}}
    if isinstance(value, tuple | list):
        return [_to_plain(item, path, arrays) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise StorageError(f"{path}: a {type(value).__name__} cannot be stored.")


def _joined(path, name):
    return ".".join(filter(None, (path, name)))


# -- from text and arrays -----------------------------------------------------------------------------


def _from_plain(value, arrays, depth):
    if depth > DEEPEST:
        raise StorageError("This is not a stored model: it is nested too deeply.")
    if isinstance(value, list):
        return tuple(_from_plain(item, arrays, depth + 1) for item in value)
    if not isinstance(value, dict):
        return value
    if "class" in value:
        return _instance(value, arrays, depth)
    if "dimensions" in value:
        return get_or_create_dimension(_exponents(value["dimensions"]))
    if "quantity" in value:
        return Quantity(float(value["quantity"]), dim=get_or_create_dimension(_exponents(value["of"])))
    if "array" in value:
        return arrays[value["array"]]
    if "mapping" in value:
        return {key: _from_plain(item, arrays, depth + 1) for key, item in value["mapping"].items()}
    raise StorageError(f"This is not a stored model: unknown part with {', '.join(map(str, value))[:80]}.")


def _instance(value, arrays, depth):
    cls = KNOWN.get(value.get("class"))
    if cls is None:
        raise StorageError(f"This is not a stored model: unknown part {value.get('class')!r}.")
    return cls(
        **{name: _from_plain(item, arrays, depth + 1) for name, item in value.items() if name != "class"}
    )


def _exponents(numbers):
    if len(numbers) != 7 or not all(isinstance(x, int | float) and abs(x) < 100 for x in numbers):
        raise StorageError(f"{numbers!r} are not the exponents of the seven SI units.")
    return tuple(float(x) for x in numbers)


# -- checks -------------------------------------------------------------------------------------------

#: Types of what the tuples and mappings of a description hold.
CONTENTS = {
    "groups": Group,
    "inputs": TimedInput,
    "trainable": Trainable,
    "pathways": Pathway,
    "events": str,
    "codes": str,
    "initial": str,
    "values": np.ndarray,
    "constants": Constant,
    "functions": str,
    "links": Link,
    "operations": Operation | PoissonDrive,
}


def _check_model(model):
    """Types, sizes and references are what the rest of the program relies on."""
    _check_types(model)
    names = {group.name: group for group in model.groups}
    if len(names) < len(model.groups):
        raise StorageError("Two groups of the model have the same name.")
    words = all(isinstance(slot, str) and slot.isidentifier() for slot in model.schedule)
    _demand(words, "model", "its schedule is not of words")
    _demand(0 <= model.time < np.inf, "model", f"{model.time} s is not a time to start at")
    for timed in model.inputs:
        _check_types(timed)
        _check_array(timed.name, timed.values, ndims=(1, 2))
        _demand(0 < timed.dt < np.inf, timed.name, f"dt = {timed.dt} s is not a time step")
    for group in model.groups:
        _check_group(group, model)
        if isinstance(group, Projection):
            _check_pairs(group, names)
    for trainable in model.trainable:
        _check_types(trainable)
        _demand(isinstance(trainable.constraint, Constraint), trainable.name, "its constraint is unknown")
        for target in trainable.targets:
            model.initial_value(target)
        if isinstance(trainable.constraint, LowRank):
            _check_modes(trainable, model)


def _check_modes(trainable, model):
    group, constraint = model[trainable.targets[0][0]], trainable.constraint
    _demand(isinstance(group, Projection) and constraint.complete, trainable.name, "it has no modes")
    for factor, end in (("xi_in", group.target), ("xi_out", group.source)):
        shape = end_size(model, end), constraint.modes
        _check_array(f"{trainable.name}.{factor}", getattr(constraint, factor), (shape,))


def _check_types(instance):
    """Every field of a dataclass holds what its annotation says."""
    for field in dataclasses.fields(instance):
        value, expected = getattr(instance, field.name), field.type
        expected = getattr(expected, "__origin__", expected)
        if expected is float:
            expected = float | int
        known = isinstance(expected, type | types.UnionType)
        name = getattr(instance, "name", "model")
        _demand(not known or isinstance(value, expected), name, f"{field.name} = {value!r:.60}")
        contents = CONTENTS.get(field.name) if isinstance(value, tuple | Mapping) else None
        if contents and not (field.name == "inputs" and not isinstance(instance, Model)):
            items = value.values() if isinstance(value, Mapping) else value
            _demand(all(isinstance(i, contents) for i in items), name, f"{field.name} holds something else")


def _check_group(group, model):
    _check_types(group)
    _demand(group.name.isidentifier(), "model", f"{group.name!r:.60} is not a name")
    _demand(0 <= group.n <= LARGEST_GROUP, group.name, f"{group.n} is not a possible number of elements")
    _demand(0 < group.dt < np.inf, group.name, f"dt = {group.dt} s is not a time step")
    for variable, value in group.values.items():
        _check_array(f"{group.name}.{variable}", value, shapes=((), (group.n,)))
    for name in group.inputs.values():
        model.input(name)
    for when, order, active in group.schedule.values():
        known = isinstance(when, str) and when.isidentifier()
        known = known and isinstance(order, int) and isinstance(active, bool)
        _demand(known, group.name, "its schedule is not one of slots and orders")
    for constant in group.constants.values():
        _check_types(constant)
    for name, link in group.links.items():
        _check_link(group, name, link, model)
    for operation in group.operations:
        _check_operation(group, operation)
    if isinstance(group, SpikeTimes):
        _check_spikes(group)
    check_equations(group.equations)
    for code in _codes(group):
        check_code(code)


def _codes(group):
    """All text of a group that Brian2 makes code of, apart from its equations."""
    parts = (*getattr(group, "pathways", ()), *group.operations)
    found = [getattr(group, "refractory", None), *(getattr(part, "code", None) for part in parts)]
    found += [getattr(part, "weight", None) for part in group.operations]
    for texts in (group.initial, getattr(group, "events", {}), getattr(group, "codes", {})):
        found += texts.values()
    return [code for code in found if isinstance(code, str)]


def _check_link(group, name, link, model):
    known = {other.name: other for other in model.groups}
    _demand(link.group in known, group.name, f"{name} is linked to {link.group!r:.60}, which is no group")
    if isinstance(link.index, np.ndarray):
        _check_array(f"{group.name}.{name}", link.index, shapes=((group.n,),))
        fits = link.index.dtype.kind == "i"
        fits = fits and not np.any((link.index < 0) | (link.index >= known[link.group].n))
        _demand(fits, group.name, f"the index of {name} does not fit {link.group}")
    else:
        known = link.index is None or (isinstance(link.index, str) and link.index.isidentifier())
        _demand(known, group.name, f"the index of {name} is no name")


def _check_operation(group, operation):
    _check_types(operation)
    for word in (operation.name, operation.when, getattr(operation, "variable", "x")):
        _demand(word.isidentifier(), group.name, f"{word!r:.60} is not a name")
    if operation.part is not None:
        start, stop = operation.part
        _demand(0 <= start < stop <= group.n, group.name, f"{operation.name} is for no part of it")
    if isinstance(operation, PoissonDrive):
        possible = operation.n >= 0 and 0 <= operation.rate < np.inf
        _demand(possible, group.name, f"{operation.name} has no possible number or rate")
    else:
        _demand(operation.dt is None or 0 < operation.dt < np.inf, group.name, f"dt = {operation.dt} s")


def _check_spikes(group):
    _demand(group.indices.shape == group.times.shape, group.name, "it has not one time for each index")
    _check_array(f"{group.name}.times", group.times, ndims=(1,))
    fits = group.indices.dtype.kind == "i" and not np.any((group.indices < 0) | (group.indices >= group.n))
    _demand(fits, group.name, "its indices do not fit the number of its neurons")
    possible = np.all((group.times >= 0) & np.isfinite(group.times)) and 0 <= group.period < np.inf
    _demand(possible, group.name, "its spike times or its period are impossible")


def _check_pairs(group, names):
    for pairs, (end, start, stop) in ((group.i, group.source), (group.j, group.target)):
        _demand(isinstance(names.get(end), Group), group.name, f"it connects to {end!r}, which is no group")
        size = names[end].n if start is None else stop - start
        _demand(start is None or 0 <= start <= stop <= names[end].n, group.name, f"no such part of {end}")
        fits = pairs.dtype.kind == "i" and pairs.ndim == 1
        fits = fits and not np.any((pairs < 0) | (pairs >= size))
        _demand(fits, group.name, f"its pairs (i, j) do not fit the size of {end}")
    _demand(group.i.shape == group.j.shape, group.name, f"it has {len(group.i)} i, but {len(group.j)} j")
    for pathway in group.pathways:
        _check_types(pathway)
        _demand(pathway.prepost in ("pre", "post"), group.name, f"its pathway {pathway.name} is neither")
        _check_array(f"{group.name}.{pathway.name}.delay", pathway.delay, shapes=((), (group.n,)))
        _demand(np.all(pathway.delay >= 0), group.name, "it has a negative delay")
        events = pathway.under_way
        fits = events.ndim == 2 and events.shape[1] == 2 and events.dtype.kind == "i"
        fits = (
            fits and np.all(events >= 0) and np.all(events[:, 1] < group.n) and np.all(events < LONGEST_DELAY)
        )
        _demand(fits, group.name, f"the events under way in {pathway.name} do not fit")


def _check_array(name, array, shapes=None, ndims=None):
    if (shapes and array.shape not in shapes) or (ndims and array.ndim not in ndims):
        raise StorageError(f"{name} has shape {array.shape}, expected {shapes[-1] if shapes else ndims}.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise StorageError(f"{name} contains NaN.")


def _demand(condition, name, problem):
    if not condition:
        raise StorageError(f"This is not a stored model: {name}: {problem}.")
