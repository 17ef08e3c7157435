"""Places in a user's script and in the modules beside it, and errors told with their lines."""

import os
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from brian2.core.base import BrianObjectException

__all__ = ["Place", "in_words", "place_of_call", "places_of_objects"]

MOST_FRAMES = 5
CREATED = re.compile(r"File '(.*)', line (\d+), in")  # as Brian2 notes it


@dataclass(frozen=True)
class Place:
    """A line of the script or of a module beside it.

    Attributes
    ----------
    file : str
        Name without its folder.
    line : int
    """

    file: str
    line: int

    def __str__(self):
        return f"{self.file}, line {self.line}"


def place_of_call(path):
    """Where the user's code has called what is now being executed.

    Parameters
    ----------
    path : Path
        The script.

    Returns
    -------
    Place or None
        None where only installed packages have called it.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if _is_users(frame.f_code.co_filename, path):
            return Place(Path(frame.f_code.co_filename).name, frame.f_lineno)
        frame = frame.f_back
    return None


def places_of_objects(names, objects, path):
    """Where objects were made.

    Parameters
    ----------
    names : iterable of str
        Of Brian2 objects, or names that begin with one and ``_``.
    objects : iterable of BrianObject
        Among them those that have these names.
    path : Path
        The script.

    Returns
    -------
    dict of str to Place
        Without the names for which no place is known.
    """
    made = {obj.name: _made_at(obj, path) for obj in objects}
    places = {}
    for name in names:
        owners = [known for known in made if name == known or name.startswith(f"{known}_")]
        place = made[max(owners, key=len)] if owners else None
        if place is not None:
            places[name] = place
    return places


def _made_at(obj, path):
    """The innermost of the user's own lines that led to the object."""
    lines = [
        Place(Path(file).name, int(line))
        for file, line in CREATED.findall(obj._full_creation_stack)
        if _is_users(file, path)
    ]
    return lines[-1] if lines else None


def _is_users(file, path):
    """Whether it is the script, or a module beside it that is not an installed package."""
    if not file.startswith(f"{path.parent}{os.sep}"):
        return False
    return not {"site-packages", "brianbridge"} & set(Path(file).parts[len(path.parent.parts) :])


def in_words(error, path=None):
    """An exception of Brian2 or of a script in a few words.

    Parameters
    ----------
    error : Exception
    path : Path, optional
        The script: the lines of it and of the modules beside it that led to the error are quoted.

    Returns
    -------
    str
    """
    if isinstance(error, SyntaxError) and (error.filename or "").endswith(".py"):
        where = f"{Path(error.filename).name}, line {error.lineno}"
        return f"{where} is not valid Python: {error.msg}.\n    {(error.text or '').strip()}"
    frames = [] if path is None else _frames(error, path)
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # it would be in quotes
    text = f"{type(error).__name__}: {said}" if str(said) else type(error).__name__
    if isinstance(error, BrianObjectException) and error.__cause__ is not None:
        name = error._brian_objname
        while isinstance(error.__cause__, BrianObjectException):  # Brian2 wraps some complaints twice
            error = error.__cause__
        text = f"Brian2 complains about {name!r}: {in_words(error.__cause__)}"
    return "\n".join([text.rstrip(" .\n") + ".", *frames[-MOST_FRAMES:]])


def _frames(error, path):
    """The script's lines in a traceback, and those of modules beside it."""
    return [
        f"    {Path(frame.filename).name}, line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_users(frame.filename, path)
    ]
