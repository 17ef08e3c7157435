"""Writes files that belong together so that none of them is ever seen half-written."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_together(contents):
    """
    Write several files: all of them under temporary names first, then each renamed to its own.

    If anything fails before the renaming, the files of that name stay as they were, and no temporary file
    is left.

    Parameters
    ----------
    contents : dict of Path to bytes
    """
    partial_of = {Path(path): _partial_name(Path(path)) for path in contents}
    try:
        for path, partial in partial_of.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_through(partial, contents[path])
        for path, partial in partial_of.items():
            os.replace(partial, path)
    finally:
        for partial in partial_of.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def try_folder(folder):
    """
    Raise the `OSError` that a file in this folder would meet, before there is anything to write.

    Parameters
    ----------
    folder : Path
        Made, if it is missing.
    """
    probe = _partial_name(Path(folder) / "try")
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        _write_through(probe, b"")
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _partial_name(path):
    # In the same folder, because a rename is atomic only within one file system. The random part keeps two
    # processes that write the same report apart.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def _write_through(path, content):
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
