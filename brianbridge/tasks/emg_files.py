"""Muscle activity during reaches: from a file, or made up."""

import math
from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat

HEADER = b"MATLAB 5.0 MAT-file"
LARGEST_FILE = 64 * 2**20  # bytes
MOST_VALUES = 10**7
HOW_TO_SAVE = (
    "In MATLAB: save('reaching.mat', 'emg', '-v7'), with emg of the size directions × samples × muscles."
)


def read_emg(path):
    """Read the array 'emg' from a MATLAB file of version 5 to 7.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    float array (directions, samples, muscles)

    Raises
    ------
    ValueError
        If there is no such file, or it holds no such array.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}; without file= the task uses a synthetic stand-in")
    with path.open("rb") as opened:
        head = opened.read(128)
    if not head.startswith(HEADER) or head[126:128] not in (b"IM", b"MI"):
        newer = " It is of version 7.3, which is another format." if b"MATLAB 7.3" in head else ""
        raise ValueError(f"{path} is not a MATLAB file of version 5 to 7.{newer} {HOW_TO_SAVE}")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {LARGEST_FILE} are read")
    try:  # sizes are known before anything is unpacked
        found = {name: (shape, kind) for name, shape, kind in whosmat(path)}
        fits = _fits(*found.get("emg", ((), "")))
        emg = np.asarray(loadmat(path, variable_names=["emg"])["emg"]) if fits else None
    except Exception as error:  # a damaged file can fail anywhere in scipy's reader
        raise ValueError(f"{path} is damaged: {error}") from None
    if not fits:
        listed = ", ".join(f"{name} {shape} {kind}" for name, (shape, kind) in found.items()) or "nothing"
        raise ValueError(
            f"{path} holds no array 'emg' of numbers with three axes, but {listed}. {HOW_TO_SAVE}"
        )
    if emg.dtype.kind != "f" or not np.isfinite(emg).all():
        raise ValueError(f"'emg' in {path} is not real and finite")
    return emg.astype(float)


def _fits(shape, kind):
    return len(shape) == 3 and kind in ("double", "single") and 0 < math.prod(shape) <= MOST_VALUES


def stand_in(directions=8, samples=81, step=10.0):
    """Make up muscle activity with the properties of the recordings that matter here.

    Two muscles with opposite preferred directions each give a bell-shaped burst, tuned to the direction of
    the reach like a cosine, and 110 ms later an antagonist burst for directions opposite to the preferred
    one, above a tonic level.

    Returns
    -------
    float array (directions, samples, muscles)
        From 0 to 1.
    """
    angle = 2 * np.pi * np.arange(directions) / directions
    tuning = np.cos(angle[:, np.newaxis] - np.deg2rad([100, 280]))[:, np.newaxis]
    time = step * np.arange(samples)[:, np.newaxis]

    def burst(centre):
        return np.exp(-((time - centre) ** 2) / (2 * 60**2))

    return 0.1 + 0.9 * np.maximum(tuning, 0) * burst(400) + 0.5 * np.maximum(-tuning, 0) * burst(510)
