"""`reproduce`: carry out a report's checks again and compare every number."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from brian2 import ms

from brianbridge.checks.manifest import sha256_of_file
from brianbridge.checks.running import check

__all__ = ["Reproduction", "ReportFileError", "reproduce"]

RELATIVE = 1e-9
COMPARED = ("checks", "data")


class ReportFileError(ValueError):
    """A file is not a report of a check, or what it refers to is not there."""


@dataclass(frozen=True)
class Reproduction:
    """What came out a second time.

    Attributes
    ----------
    numbers : int
        How many numbers and texts were compared.
    differences : list of tuple
        Where, what the report says, what was found now.
    changed : list of tuple
        Entries of the manifest that are not the same: versions, machine, preferences.
    report : Report
        The new one.
    """

    numbers: int
    differences: list
    changed: list
    report: object

    @property
    def agrees(self):
        return not self.differences


def reproduce(path, trained=None, task=None, *, untrained=None, progress=True):
    """Run the checks of a report again, with its manifest, and compare all numbers.

    Parameters
    ----------
    path : str or Path
        The JSON of a report that `check` has made.
    trained : Trained, str or Path, optional
        Default: the file that the manifest names, as it is or beside the report.
    task : Task, optional
        The user's own.
    untrained : Model, optional
        If the report was made with one.
    progress : bool

    Returns
    -------
    Reproduction

    Raises
    ------
    ReportFileError
        If the file is not such a report, or the trained network is not the one that was checked.
    """
    path = Path(path)
    told = _read(path)
    manifest = told["manifest"]
    if trained is None:
        trained = _trained_file(path, manifest["trained"])
    asked = manifest["check"]
    report = check(
        trained,
        task,
        ladder=asked["ladder"],
        only=asked["only"],
        dt=asked["dt (ms)"] * ms,
        margins=asked["margins"],
        untrained=untrained,
        seed=asked["seed"],
        fine_tune=asked["fine-tuning (updates)"],
        progress=progress,
    )
    again = json.loads(json.dumps(report.as_dict()))
    key = "sha256 of the model with its values"
    if again["manifest"]["trained"][key] != manifest["trained"][key]:
        raise ReportFileError(f"{path} is about another trained network than the one that was given.")
    differences = [found for part in COMPARED for found in _differences(part, told.get(part), again[part])]
    changed = list(_differences("manifest", manifest, again["manifest"]))
    numbers = sum(_leaves(told[part]) for part in COMPARED)
    return Reproduction(numbers, differences, changed, report)


def _read(path):
    try:
        told = json.loads(path.read_bytes())
        told["manifest"]["check"]["ladder"], told["checks"], told["data"]
        told["manifest"]["trained"]["sha256 of the file"]
    except OSError as error:
        raise ReportFileError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise ReportFileError(f"{path} is not the JSON of a report of brianbridge check.") from None
    return told


def _trained_file(path, entries):
    if entries["file"] is None:
        raise ReportFileError(
            f"{path} does not say in which file its trained network is: hand it over as well."
        )
    wanted = Path(entries["file"])
    for candidate in (wanted, path.parent / wanted.name, path.parent.parent / wanted.name):
        if candidate.is_file() and sha256_of_file(candidate) == entries["sha256 of the file"]:
            return candidate
    raise ReportFileError(f"The trained network of {path}, {wanted}, is not there or is another one by now.")


def _differences(place, told, found):
    """Places at which two JSON values are not the same, numbers up to rounding."""
    if isinstance(told, dict) and isinstance(found, dict):
        for key in [*told, *(key for key in found if key not in told)]:
            yield from _differences(f"{place}.{key}", told.get(key), found.get(key))
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for number, pair in enumerate(zip(told, found)):
            yield from _differences(f"{place}[{number}]", *pair)
    elif not _same(told, found):
        yield place, told, found


def _same(told, found):
    if isinstance(told, int | float) and isinstance(found, int | float) and not isinstance(told, bool):
        return bool(np.isclose(told, found, rtol=RELATIVE, atol=0))
    return told == found


def _leaves(value):
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        return sum(map(_leaves, value))
    return 1
