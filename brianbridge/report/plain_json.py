"""Turns numpy values, quantities and nested containers into what JSON can hold."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import PurePath

import numpy as np


def plain(value, where="the report"):
    """
    The value as plain dicts, lists, numbers, texts and None.

    NaN and infinity become None, because JSON has no word for them. A Brian2 quantity becomes
    ``{"value": ..., "unit": ...}`` in SI units, so that its unit is not lost.

    Parameters
    ----------
    value
        Numbers, texts, None, numpy arrays, quantities, paths, dates, and lists, tuples and dicts of these.
    where : str
        How an error names the place of the value.

    Raises
    ------
    TypeError
        For anything else.
    """
    if hasattr(value, "dim"):
        return _plain_quantity(value, where)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), where)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(entry, f"{where}[{str(key)!r}]") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, f"{where}[{number}]") for number, entry in enumerate(value)]
    raise TypeError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold. "
        f"Use numbers, texts, numpy arrays, quantities, lists or dicts."
    )


def _plain_quantity(value, where):
    # Imported here because only a quantity needs it, and whoever made one has brian2 loaded already.
    from brian2.units.fundamentalunits import get_unit

    numbers = plain(np.asarray(value).tolist(), where)
    if value.dim.is_dimensionless:
        return numbers
    return {"value": numbers, "unit": str(get_unit(value.dim))}


def json_text(entries):
    """
    A dict of plain values as JSON in UTF-8, one line for each entry (arrays would fill a page otherwise).

    Characters that UTF-8 cannot hold (names of files in a foreign encoding) are written as JSON escapes.
    """
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False, ensure_ascii=False)}"
        for key, value in entries.items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "backslashreplace")
