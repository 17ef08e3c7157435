"""`Trained`: a trained network in one file, readable without torch."""

import json
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from brian2.units.fundamentalunits import Quantity
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from brianbridge.atomic_files import write_together
from brianbridge.model.description import Model
from brianbridge.model.storage import StorageError, model_from_parts, model_to_parts
from brianbridge.trained.writing import assignments, trial_assignments

__all__ = ["Trained", "TrainedFileError"]

SCHEMA = 1
LARGEST = 2_000_000_000  # bytes
TYPES = {"task": str, "arguments": dict, "inputs": dict, "output": str, "history": dict, "manifest": dict}


class TrainedFileError(ValueError):
    """A file is not a trained network, or is damaged."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its trained values.

    Attributes
    ----------
    model : Model
        Holds exactly the SI float64 values that Brian2 is given.
    task, arguments : str, dict
        The task by name, and how it was made. A user's own task must be handed over again after reading.
    inputs : dict of str to str
        Which `TimedArray` takes which of the task's inputs.
    output : str
        The recorded output, ``'group.variable'``.
    history : dict of str to list
        Loss and accuracy over updates.
    manifest : dict
        Seeds, time step, versions, settings.
    """

    model: Model
    task: str = ""
    arguments: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    output: str = ""
    history: dict = field(default_factory=dict)
    manifest: dict = field(default_factory=dict)

    @property
    def values(self):
        """Trained values with units: ``'group.variable'`` to Quantity."""
        return {
            ".".join(filter(None, target)): Quantity(
                np.array(self.model.initial_value(target)), dim=trainable.dimensions
            )
            for trainable in self.model.trainable
            for target in trainable.targets
        }

    @property
    def hash(self):
        """SHA-256 of the model with its values."""
        return self.model.hash

    def __repr__(self):
        trained = ", ".join(self.values)
        return f"<Trained network for {self.task or 'no task'}: {trained}>"

    # -- Brian2 ---------------------------------------------------------------------------------------

    def write_to(self, network, trial=None):
        """Write the trained values into a live network of the same structure.

        Parameters
        ----------
        network : brian2.Network
            The network that was wrapped, or one built by the same script.
        trial : dict, optional
            One trial's ``'inputs'`` (name of the `TimedArray` to SI array), ``'noise'`` and ``'initial'``
            state (``'group.variable'`` to SI array), written too.

        Raises
        ------
        KeyError, ValueError
            If the network has no such group, other numbers of neurons or synapses, or other connections; or
            if a trial or initial states are to be written into a network that has run. Nothing is written
            then.

        Notes
        -----
        A trained constant of the script's namespace is written into the namespace of each group that uses it,
        which Brian2 reads before the script's own variables; it warns at each run that the two differ.
        """
        plan = assignments(network, self.model)
        if trial is not None:
            plan += trial_assignments(network, self.model, trial)
        for assign in plan:
            assign()
        if network._stored_state:
            warnings.warn(
                "This network has stored states: network.restore() would bring the untrained values back. "
                "Call network.store() again.",
                stacklevel=2,
            )

    def network(self, dt=None):
        """Build the trained network in Brian2, see `Model.network`."""
        return self.model.network(dt)

    # -- files ----------------------------------------------------------------------------------------

    def save(self, path):
        """Write one ``.safetensors`` file, atomically.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path

        Raises
        ------
        ValueError
            If the name does not end in ``.safetensors``.
        TypeError
            If arguments, history or manifest hold what is neither text nor number.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise ValueError(f"{path}: trained networks are stored as .safetensors files.")
        text, arrays = model_to_parts(self.model)
        metadata = {"schema": SCHEMA, "model": json.loads(text), "model_hash": self.hash}
        metadata |= {name: getattr(self, name) for name in TYPES}
        tensors = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
        content = to_safetensors(tensors, {"brianbridge": json.dumps(metadata, sort_keys=True)})
        write_together({path: content})
        return path

    @classmethod
    def load(cls, path):
        """Read a trained network.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Trained

        Raises
        ------
        TrainedFileError
            If the file is missing, damaged, too large, or holds something else.
        """
        path = Path(path)
        if not path.is_file():
            raise TrainedFileError(f"There is no file {path}.")
        if path.stat().st_size > LARGEST:
            raise TrainedFileError(f"{path} is larger than {LARGEST / 1e9:g} GB; trained networks are not.")
        metadata, arrays = _parts(path)
        if not isinstance(metadata, dict) or metadata.get("schema") != SCHEMA:
            raise TrainedFileError(f"{path} was written for another version of this file format.")
        for name, expected in TYPES.items():
            if not isinstance(metadata.get(name), expected):
                raise TrainedFileError(f"{path} is damaged: {name!r} is not what it should be.")
        try:
            model = model_from_parts(json.dumps(metadata.get("model")), arrays)
            trained = cls(model=model, **{name: metadata[name] for name in TYPES})
            found = trained.hash
        except (StorageError, RecursionError) as error:
            raise TrainedFileError(f"{path}: {error}") from None
        _check_wiring(path, trained)
        if found != metadata.get("model_hash"):
            raise TrainedFileError(
                f"{path} is damaged: its content does not have the hash that was stored with it."
            )
        return trained

    def with_functions(self, functions):
        """A copy with the user's own functions, which files do not hold.

        Parameters
        ----------
        functions : dict of str to brian2 Function
        """
        return replace(self, model=replace(self.model, functions=functions))


def _check_wiring(path, trained):
    """Inputs, output and settings are of the kinds that simulations and checks rely on."""
    model = trained.model
    known = {timed.name for timed in model.inputs}
    for name, source in trained.inputs.items():
        if name not in known or not isinstance(source, str):
            raise TrainedFileError(f"{path} is damaged: the model has no input {name!r:.60}.")
    owner = trained.output.partition(".")[0]
    if owner and owner not in {group.name for group in model.groups}:
        raise TrainedFileError(f"{path} is damaged: the model has no output {trained.output!r:.60}.")
    if not isinstance(trained.manifest.get("training", {}), dict):
        raise TrainedFileError(f"{path} is damaged: its manifest holds no settings of a training.")


def _parts(path):
    """Metadata and arrays of a file; safetensors compares sizes with the file before it allocates."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})["brianbridge"])
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError:
        raise TrainedFileError(f"{path} is a safetensors file, but not one of brianbridge.") from None
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise TrainedFileError(f"{path} is not a trained network of brianbridge: {error}") from None
