"""Checkpoints: all that a training needs to go on, in one safetensors file that is replaced atomically.

Read as if a stranger had written it: nothing in it is executed, and names, shapes and a hash are compared
before anything is taken over.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from brianbridge.atomic_files import write_together
from brianbridge.training.history import COLUMNS

__all__ = ["Checkpoint", "CheckpointError"]

SCHEMA = 1
LARGEST = 20_000_000_000  # bytes
TYPES = {"settings": dict, "groups": list, "numbers": dict, "best_update": int}


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, or belongs to another training."""


@dataclass
class Checkpoint:
    """The state of a training after an update.

    Attributes
    ----------
    settings : dict
        What the training is: only the same one can go on from here.
    arrays : dict of str to ndarray
        ``'parameter NAME'``, ``'best NAME'``, ``'optimiser INDEX KEY'``, ``'history COLUMN'``,
        ``'state KEY'`` (of continuous training).
    groups : list of dict
        Options of the optimiser, by parameter group.
    numbers : dict of str to number
        State of the optimiser that is no array.
    best_update : int
        The update whose parameters are the best ones; 0 where there are none.
    """

    settings: dict
    arrays: dict
    groups: list = field(default_factory=list)
    numbers: dict = field(default_factory=dict)
    best_update: int = 0

    def named(self, kind):
        """Arrays of one kind, without its name."""
        return {
            name.removeprefix(f"{kind} "): array
            for name, array in self.arrays.items()
            if name.startswith(f"{kind} ")
        }

    def save(self, path):
        """Write the file; what was there before stays until all of it is written.

        Raises
        ------
        OSError
            If the disk is full, for example; the file is then as it was.
        """
        arrays = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in self.arrays.items()}
        text = {name: getattr(self, name) for name in TYPES}
        document = {"schema": SCHEMA, "text": text, "sha256": _digest(text, arrays)}
        content = to_safetensors(arrays, {"brianbridge checkpoint": json.dumps(document, sort_keys=True)})
        write_together({Path(path): content})

    @classmethod
    def load(cls, path):
        """Read a checkpoint.

        Raises
        ------
        CheckpointError
            If the file is damaged, or is something else.
        """
        path = Path(path)
        if path.stat().st_size > LARGEST:
            raise CheckpointError(f"{path} is larger than {LARGEST / 1e9:g} GB; checkpoints are not.")
        document, arrays = _parts(path)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise CheckpointError(f"{path} was written for another version of this file format.")
        text = document.get("text")
        if document.get("sha256") != _digest(text, arrays):
            raise CheckpointError(
                f"{path} is damaged: its content does not have the hash that was stored with it."
            )
        if not isinstance(text, dict) or any(type(text.get(name)) is not TYPES[name] for name in TYPES):
            raise CheckpointError(f"{path} is damaged: it does not hold what a checkpoint holds.")
        return cls(arrays=arrays, **{name: text[name] for name in TYPES})

    def check(self, path, settings, parameters, state):
        """Compare with the training that is to go on.

        Parameters
        ----------
        path : Path
        settings : dict
        parameters : dict of str to ndarray
            All parameters, unconstrained.
        state : dict of str to ndarray
            A state of the network, where training is continuous.

        Raises
        ------
        CheckpointError
            Naming what differs.
        """
        different = [
            f"{name} is {_short(self.settings.get(name))} there and {_short(settings.get(name))} here"
            for name in sorted({*settings, *self.settings})
            if self.settings.get(name) != settings.get(name)
        ]
        if different:
            raise CheckpointError(
                f"{path} is the checkpoint of another training: {'; '.join(different)}. Give another file, "
                "or delete this one to begin anew."
            )
        _check_arrays(path, self.named("parameter"), parameters)
        if self.best_update:
            _check_arrays(path, self.named("best"), parameters)
        if self.named("state") or state:
            _check_arrays(path, self.named("state"), state)
        self._check_optimiser(path, list(parameters.values()))
        self._check_history(path)

    def _check_history(self, path):
        columns = self.named("history")
        lengths = {column.shape for column in columns.values() if column.dtype == np.float64}
        if set(columns) != set(COLUMNS) or len(lengths) != 1 or len(next(iter(lengths))) != 1:
            raise CheckpointError(f"{path} is damaged: its history is not one of this version.")

    def _check_optimiser(self, path, parameters):
        """An optimiser keeps a number, or something of the parameter's own shape, for each parameter."""
        for name, array in self.named("optimiser").items():
            index, _, key = name.partition(" ")
            fits = index.isdecimal() and int(index) < len(parameters) and key
            if not fits or array.shape not in ((), parameters[int(index)].shape):
                raise CheckpointError(f"{path} is damaged: the optimiser's {name!r} fits no parameter.")


def _check_arrays(path, found, expected):
    for name in sorted({*found, *expected}):
        shapes = [arrays[name].shape if name in arrays else "missing" for arrays in (found, expected)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(f"{path} is damaged: {name} is {shapes[0]} there and {shapes[1]} here.")
        if not np.isfinite(found[name]).all():
            raise CheckpointError(f"{path} is damaged: {name} holds NaN or infinity.")


def _digest(text, arrays):
    """SHA-256 of everything in the file."""
    digest = hashlib.sha256(json.dumps(text, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _parts(path):
    """Metadata and arrays of a file; safetensors compares sizes with the file before it allocates."""
    try:
        with safe_open(path, framework="numpy") as file:
            document = json.loads((file.metadata() or {})["brianbridge checkpoint"])
            return document, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError:
        raise CheckpointError(f"{path} is a safetensors file, but no checkpoint of a training.") from None
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} is no checkpoint of a training: {error}") from None


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
