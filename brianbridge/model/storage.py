"""A `Model` as JSON text and arrays, and back; nothing in it is executed or imported when read."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import numpy as np
from brian2.units.fundamentalunits import Dimension, Quantity, get_or_create_dimension

from brianbridge.model import constraints, description
from brianbridge.model.description import Model

__all__ = ["StorageError", "model_from_parts", "model_hash", "model_to_parts"]

KNOWN = {
    cls.__name__: cls
    for module in (description, constraints)
    for cls in vars(module).values()
    if isinstance(cls, type) and dataclasses.is_dataclass(cls)
}
DEEPEST = 20


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
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"This is not a stored model: {error}") from None
    if not isinstance(model, Model):
        raise StorageError("This is not a stored model.")
    _check_sizes(model)
    return model


def model_hash(model):
    """SHA-256 of text and arrays: two models with the same hash take the same steps."""
    text, arrays = model_to_parts(model)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _to_plain(value, path, arrays):
    if dataclasses.is_dataclass(value):
        path = f"{path}.{value.name}".strip(".") if hasattr(value, "name") else path
        fields = {
            field.name: _to_plain(getattr(value, field.name), f"{path}.{field.name}".strip("."), arrays)
            for field in dataclasses.fields(value)
            if field.metadata.get("stored", True)
        }
        return {"class": type(value).__name__, **fields}
    if isinstance(value, Dimension):
        return {"dimensions": list(value._dims)}
    if isinstance(value, Quantity):
        return {"quantity": float(value), "of": list(value.dim._dims)}
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, Mapping):
        return {"mapping": {key: _to_plain(item, f"{path}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, tuple | list):
        return [_to_plain(item, f"{path}.{number}", arrays) for number, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise StorageError(f"{path}: a {type(value).__name__} cannot be stored.")


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
        return {str(key): _from_plain(item, arrays, depth + 1) for key, item in value["mapping"].items()}
    raise StorageError(f"This is not a stored model: unknown part with {', '.join(map(str, value))[:80]}.")


def _instance(value, arrays, depth):
    cls = KNOWN.get(value.get("class"))
    if cls is None:
        raise StorageError(f"This is not a stored model: unknown part {value.get('class')!r}.")
    fields = {name: _from_plain(item, arrays, depth + 1) for name, item in value.items() if name != "class"}
    return cls(**fields)


def _exponents(numbers):
    if len(numbers) != 7 or not all(isinstance(x, int | float) and abs(x) < 100 for x in numbers):
        raise StorageError(f"{numbers!r} are not the exponents of the seven SI units.")
    return tuple(float(x) for x in numbers)


def _check_sizes(model):
    """Sizes of arrays agree with what the text says of them."""
    names = {group.name: group for group in model.groups}
    for group in model.groups:
        if not isinstance(group.n, int) or group.n < 0:
            raise StorageError(f"{group.name}: {group.n!r} is not a number of elements.")
        for variable, value in group.values.items():
            if value.shape not in ((), (group.n,)):
                raise StorageError(f"{group.name}.{variable} has shape {value.shape}, expected ({group.n},).")
            if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
                raise StorageError(f"{group.name}.{variable} contains NaN or infinity.")
        if hasattr(group, "i"):
            for pairs, end in ((group.i, group.source), (group.j, group.target)):
                if end[0] not in names:
                    raise StorageError(f"{group.name} connects to {end[0]!r}, which the model does not have.")
                size = names[end[0]].n if end[1] is None else end[2] - end[1]
                if pairs.dtype.kind != "i" or pairs.ndim != 1 or np.any((pairs < 0) | (pairs >= size)):
                    raise StorageError(f"{group.name}: its pairs (i, j) do not fit the size of {end[0]}.")
            if group.i.shape != group.j.shape:
                raise StorageError(f"{group.name}: {len(group.i)} indices i, but {len(group.j)} indices j.")
