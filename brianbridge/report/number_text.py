"""How numbers and other values are written in the tables of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

LONGEST_LIST = 12

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"


def is_number(value):
    """Whether a table cell should be aligned as a number."""
    if hasattr(value, "dim"):
        return np.ndim(value) == 0
    return isinstance(value, Real | np.number) and not isinstance(value, bool | np.bool_)


def value_text(value):
    """
    A value as it is printed: four significant digits, 1 234 567 in groups of three, small ones as 1.2 × 10⁻⁹.

    Quantities are written in their best unit, lists of more than `LONGEST_LIST` entries are cut and say so.
    """
    if hasattr(value, "dim"):
        return _quantity_text(value)
    if value is None:
        return "\N{EM DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return _grouped(int(value))
    if isinstance(value, Real):
        return _float_text(float(value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key} = {value_text(entry)}" for key, entry in value.items())
    if isinstance(value, np.ndarray):
        return value_text(value.tolist())
    if isinstance(value, list | tuple):
        return _list_text(value)
    return str(value)


def typeset(text):
    """The numbers in a sentence as they are printed: −3, 10⁻⁹ and 5 %, where it has -3, 1e-9 and 5%."""
    text = re.sub(r"(?<![\w.)])-(?=\d|\.\d)", _MINUS, text)
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)(?![\w.])", _power_of_ten, text)
    return re.sub(r"(?<=\d) ?%", f"{_THIN_SPACE}%", text)


def _power_of_ten(match):
    mantissa, exponent = match[1], str(int(match[2])).translate(_SUPERSCRIPT)
    return f"10{exponent}" if mantissa == "1" else f"{mantissa}{_NO_BREAK}×{_NO_BREAK}10{exponent}"


def column_texts(values):
    """
    The values of one column; up to three decimals are filled with zeros, so that digits stand in line.

    Integers stay as they are: a count of 3 does not become 3.00.
    """
    texts = [value_text(value) for value in values]
    to_fill = [_is_plain_decimal(value, text) for value, text in zip(values, texts, strict=True)]
    places = max(
        (len(text.partition(".")[2]) for text, fill in zip(texts, to_fill, strict=True) if fill), default=0
    )
    if not 0 < places <= 3:
        return texts
    return [
        f"{float(value):.{places}f}".replace("-", _MINUS) if fill else text
        for value, text, fill in zip(values, texts, to_fill, strict=True)
    ]


def _is_plain_decimal(value, text):
    return isinstance(value, float | np.floating) and "×" not in text and abs(value) < 10_000  # no NaN either


def _quantity_text(value):
    if value.dim.is_dimensionless:
        return value_text(np.asarray(value).tolist())
    unit = value.get_best_unit()
    return f"{value_text(np.asarray(value / unit).tolist())} {unit}".replace(" ", _NO_BREAK)


def _list_text(values):
    text = ", ".join(value_text(value) for value in values[:LONGEST_LIST])
    return text if len(values) <= LONGEST_LIST else f"{text}, … ({_grouped(len(values))} values)"


def _float_text(value):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else _MINUS + "∞"
    if value.is_integer() and abs(value) < 1e7:
        return _grouped(int(value))
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    mantissa = mantissa.replace("-", _MINUS)
    if not exponent:
        return mantissa
    return f"{mantissa}{_NO_BREAK}×{_NO_BREAK}10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def _grouped(value):
    # Four digits stay together, as in 2020 or 1024.
    text = f"{value:,}".replace(",", _THIN_SPACE) if abs(value) >= 10_000 else str(value)
    return text.replace("-", _MINUS)
