"""Figures that a command draws into a file: the place is tried first, and a file is whole or not there."""

import io
from pathlib import Path

from brianbridge.atomic_files import try_folder, write_together
from brianbridge.cli.answers import BAD_INPUT, Problem

__all__ = ["check_picture", "save_picture"]


def check_picture(file):
    """Raise `Problem` unless a figure can be drawn into a file of this name."""
    from matplotlib.backend_bases import FigureCanvasBase

    path, formats = Path(file), FigureCanvasBase.get_supported_filetypes()
    if not path.parent.is_dir():
        raise Problem(f"there is no folder {path.parent}", BAD_INPUT)
    if path.is_dir():
        raise Problem(f"{path} is a folder", BAD_INPUT)
    if _format(path) not in formats:
        raise Problem(f"{path} cannot be drawn; the format is one of {', '.join(sorted(formats))}", BAD_INPUT)
    try:
        try_folder(path.parent)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror or error}", BAD_INPUT) from None


def save_picture(figure, file):
    """Draw a figure into a file; raise `Problem` where that cannot be done."""
    path, drawn = Path(file), io.BytesIO()
    try:
        figure.savefig(drawn, format=_format(path))
        write_together({path: drawn.getvalue()})
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Problem(f"{path} cannot be written: {reason}", BAD_INPUT) from None


def _format(path):
    return path.suffix.lstrip(".").lower()
