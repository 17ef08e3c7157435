"""`reproduce`: carry out a report's checks again and compare every number."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from brian2 import ms

from brianbridge.checks.keeping import kept_model
from brianbridge.checks.manifest import sha256_of_file
from brianbridge.checks.options import MOST_SEEDS, MOST_UPDATES
from brianbridge.checks.running import check
from brianbridge.tasks import make
from brianbridge.trained.network import Trained

__all__ = ["Reproduction", "ReportFileError", "reproduce"]

RELATIVE = 1e-9
COMPARED = ("checks", "data")
LARGEST = 500_000_000  # bytes
#: What is read of a report.
KINDS = {
    "manifest": {
        "check": {
            "ladder": str,
            "only": list | None,
            "dt (ms)": list,
            "margins": dict,
            "seed": int,
            "fine-tuning (updates)": int,
        },
        "trained": {
            "sha256 of the model with its values": str,
            "file": str | None,
            "sha256 of the file": str | None,
        },
        "in Brian2": {"sha256 of the model with its values": str},
        "untrained": str | None,
        "task": {"name": str, "arguments": dict, "built in": bool},
    },
    "checks": list,
    "data": dict,
}
#: And what is allowed.
ALLOWED = {
    "only": lambda keys: keys is None or all(isinstance(key, str) for key in keys),
    "dt (ms)": lambda dts: all(isinstance(dt, int | float) and 0 < dt < 1000 for dt in dts),
    "seed": lambda seed: 0 <= seed < MOST_SEEDS,
    "fine-tuning (updates)": lambda updates: 0 <= updates <= MOST_UPDATES,
}


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
        Entries of the manifest that are not the same: versions, machine, preferences, what the task gives.
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


def reproduce(path, trained=None, task=None, *, model=None, untrained=None, progress=True):
    """Run the checks of a report again, with its manifest, and compare all numbers.

    Parameters
    ----------
    path : str or Path
        The JSON of a report that `check` has made.
    trained : Trained, str or Path, optional
        Default: the file that the manifest names, as it is or beside the report.
    task : Task, optional
        Needed if the report was made with one of its user's own. Default: the one that the manifest names.
    model, untrained : Model, optional
        If the report was made with them. Default: the files that `check` has written beside it.
    progress : bool

    Returns
    -------
    Reproduction

    Raises
    ------
    ReportFileError
        If the file is not such a report, or a network is not the one that was checked, or is missing, or the
        task is.
    """
    path = Path(path)
    told = _read(path)
    manifest, key = told["manifest"], "sha256 of the model with its values"
    if trained is None:
        trained = _trained_file(path, manifest["trained"])
    if _hash_of(trained) != manifest["trained"][key]:
        raise ReportFileError(f"{path} is about another trained network than the one that was given.")
    if task is None:
        task = _task_again(path, manifest["task"])
    examined = manifest["in Brian2"][key]
    model = _model(path, "model", model, None if examined == manifest["trained"][key] else examined)
    untrained = _model(path, "untrained", untrained, manifest["untrained"])
    asked = manifest["check"]
    report = check(
        trained,
        task,
        ladder=asked["ladder"],
        only=asked["only"],
        dt=asked["dt (ms)"] * ms,
        margins=asked["margins"],
        model=model,
        untrained=untrained,
        seed=asked["seed"],
        fine_tune=asked["fine-tuning (updates)"],
        progress=progress,
    )
    again = json.loads(json.dumps(report.as_dict()))
    differences = [found for part in COMPARED for found in _differences(part, told.get(part), again[part])]
    changed = list(_differences("manifest", manifest, again["manifest"]))
    numbers = sum(_leaves(told[part]) for part in COMPARED)
    return Reproduction(numbers, differences, changed, report)


def _read(path):
    """The entries of a report, with everything that is needed of them."""
    if not path.is_file():
        raise ReportFileError(f"There is no file {path}.")
    if path.stat().st_size > LARGEST:
        raise ReportFileError(f"{path} is larger than {LARGEST / 1e6:g} MB; reports are not.")
    try:
        told = json.loads(path.read_bytes())
        _leaves(told)  # is it nested too deeply?
        _check_kinds(told, KINDS)
    except OSError as error:
        raise ReportFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ReportFileError(f"{path} is not the JSON of a report of brianbridge check: {said}.") from None
    return told


def _check_kinds(found, kinds):
    """What is read of a report is there, and of the right kind."""
    for key, kind in kinds.items():
        value = found[key]
        if not isinstance(value, dict if isinstance(kind, dict) else kind):
            raise TypeError(f"{key!r} is {value!r:.60}")
        if isinstance(kind, dict):
            _check_kinds(value, kind)
        elif key in ALLOWED and not ALLOWED[key](value):
            raise TypeError(f"{key!r} is {value!r:.60}")


def _model(path, name, given, wanted):
    """A model that the report was made with, by its hash: as it was given, or from beside the report."""
    if wanted is None and given is None:
        return None
    if given is not None and given.hash != wanted:
        made = "without one" if wanted is None else "with another one"
        raise ReportFileError(f"{name}= was given, but {path} was made {made}.")
    found = given or kept_model(path.parent, name, wanted)
    if found is None:
        raise ReportFileError(
            f"{path} was made with {name}=..., a model that is not beside it in {name}.safetensors. Hand it "
            f"over in Python: reproduce({path.name!r}, {name}=...)."
        )
    return found


def _task_again(path, entries):
    if not entries["built in"]:
        raise ReportFileError(
            f"{path} was made with {entries['name']!r:.60}, a task of its user's own, which reports do not "
            f"hold. Hand it over in Python: reproduce({path.name!r}, task=MyTask())."
        )
    try:
        return make(entries["name"], **entries["arguments"])
    except (ValueError, TypeError, KeyError) as error:
        raise ReportFileError(f"The task of {path} cannot be made again: {error!s:.500}") from None


def _hash_of(trained):
    return (trained if isinstance(trained, Trained) else Trained.load(trained)).hash


def _trained_file(path, entries):
    if entries["file"] is None:
        raise ReportFileError(
            f"{path} does not say in which file its trained network is: hand it over as well."
        )
    wanted = Path(entries["file"])
    for candidate in (wanted, path.parent / wanted.name, path.parent.parent / wanted.name):
        if _is_the_file(candidate, entries["sha256 of the file"]):
            return candidate
    raise ReportFileError(
        f"The trained network of {path}, {str(wanted)[:300]}, is not there or is another one by now."
    )


def _is_the_file(path, sha256):
    try:
        return path.is_file() and sha256_of_file(path) == sha256
    except OSError:  # no file can have this name, or it may not be read
        return False


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
        try:
            return math.isclose(told, found, rel_tol=RELATIVE)
        except OverflowError:  # whole numbers beyond any float
            return told == found
    return told == found


def _leaves(value):
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        return sum(map(_leaves, value))
    return 1
