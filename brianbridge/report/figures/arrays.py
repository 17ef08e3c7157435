"""What the figures ask of their arrays."""

from __future__ import annotations

import numpy as np

from brianbridge.figure_style import EXCITATORY, INHIBITORY, UNSIGNED


def same_length(**arrays):
    """The arrays as numpy arrays, after making sure that they agree in their first axis."""
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"These arrays must be equally long along their first axis, but {found} entries.")
    if 0 in lengths.values():
        raise ValueError(f"There is nothing to draw: {', '.join(arrays)} are empty.")
    return arrays.values()


def as_columns(values):
    """One series as an array with one column; several stay as they are."""
    return values[:, None] if values.ndim == 1 else values


def by_sign(excitatory, n):
    """What is drawn apart: (name, colour, which of the n) for E and I, or for all if signs are not known."""
    if excitatory is None:
        return [("all", UNSIGNED, np.ones(n, dtype=bool))]
    excitatory = np.ravel(np.asarray(excitatory, dtype=bool))
    if len(excitatory) != n:
        raise ValueError(f"There are {n} values, but {len(excitatory)} entries say which are excitatory.")
    kinds = [("excitatory", EXCITATORY, excitatory), ("inhibitory", INHIBITORY, ~excitatory)]
    return [kind for kind in kinds if kind[2].any()]
