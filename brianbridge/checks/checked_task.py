"""The task that a network is checked with: made from its file, drawn from, recorded, and made again."""

import hashlib
import inspect
from tokenize import TokenError

import numpy as np

from brianbridge.tasks import make
from brianbridge.tasks.registry import TASKS, UnknownTaskError

__all__ = ["CheckedTaskError", "drawn_trials", "hash_of", "name_of", "task_entries", "task_of"]

LARGEST = 4e9  # bytes of all trials
UNKNOWN = "not known"


class CheckedTaskError(ValueError):
    """The task of a trained network is not known, or draws no trials to check it with."""


def task_of(trained):
    """The task that a trained network's file names.

    Raises
    ------
    CheckedTaskError
        If it names none, one of its user's own, or one that cannot be made.
    """
    if not trained.task:
        raise CheckedTaskError(
            "This network has no task, so there are no trials to check it with: bb.check(trained, task)."
        )
    try:
        return make(trained.task, **trained.arguments)
    except UnknownTaskError:
        raise CheckedTaskError(
            f"This network was trained for {trained.task!r}, a task of its user's own, which files do not "
            "hold. Hand it over in Python: bb.check(trained, MyTask())."
        ) from None
    except (ValueError, TypeError) as error:
        raise CheckedTaskError(f"The task of this network cannot be made again: {error}.") from None


def drawn_trials(task, seed, number, dt):
    """Trials of a task; one is drawn first, so that absurd arguments do not fill the memory.

    Parameters
    ----------
    task : Task
    seed, number : int
    dt : Quantity

    Returns
    -------
    Trials

    Raises
    ------
    CheckedTaskError
        If the task draws none, or more than fit into memory.
    """
    try:
        one = task.trials(seed, 1, dt)
        size = number * sum(signal.nbytes for signal in (one.targets, one.mask, *one.inputs.values()))
        if size > LARGEST:
            raise MemoryError
        return task.trials(seed, number, dt)
    except MemoryError:
        said = f"{number} of them do not fit into memory"
        raise CheckedTaskError(f"{name_of(task)} draws no trials at {dt}: {said}.") from None
    except (ValueError, TypeError, ArithmeticError) as error:
        raise CheckedTaskError(f"{name_of(task)} draws no trials at {dt}: {error}.") from error


def name_of(task):
    """What a task is called; a user's own need not have a name."""
    return getattr(task, "name", type(task).__name__)


def task_entries(task, trials):
    """What a manifest says of a task: how it is made, and hashes of what it gives.

    Parameters
    ----------
    task : Task
    trials : Trials
        Which it has drawn.

    Returns
    -------
    dict
    """
    return {
        "name": name_of(task),
        "arguments": dict(getattr(task, "arguments", {})),
        "built in": type(task) is TASKS.get(name_of(task)),
        "source sha256": _source_hash(type(task)),
        "trials sha256": {
            "targets": hash_of(trials.targets),
            "mask": hash_of(trials.mask),
            **{f"epoch {name}": hash_of(steps) for name, steps in trials.epochs.items()},
            **{f"condition {name}": hash_of(values) for name, values in trials.conditions.items()},
        },
        "scores sha256": _scores_hash(task, trials),
    }


def hash_of(array):
    """SHA-256 of an array's type, shape and values, hexadecimal."""
    array = np.ascontiguousarray(array)
    # the bytes of an array of objects are addresses
    content = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
    return hashlib.sha256(f"{array.dtype.str} {array.shape}".encode() + content).hexdigest()


def _source_hash(kind):
    """Of the text of all methods of a class, also inherited ones; what was typed into a prompt has none."""
    sources = []
    for owner in kind.__mro__:
        if owner.__module__ in ("builtins", "typing", "abc"):
            continue
        for name, member in sorted(vars(owner).items()):
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if not inspect.isfunction(function):
                continue
            try:
                sources.append(inspect.getsource(function))
            except (OSError, TypeError, SyntaxError, TokenError):  # the last two: the file has changed since
                if not name.startswith("__"):  # those that Python makes for dataclasses
                    return UNKNOWN
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()


def _scores_hash(task, trials):
    """Of what the task says of its own targets, and of these with noise: its rule, as far as it shows."""
    noise = np.random.default_rng(0).normal(size=trials.targets.shape)
    try:
        scores = [np.asarray(task.score(trials.targets + part, trials)) for part in (0 * noise, noise)]
    except Exception:  # of the user's own code, which the rungs that need it will show
        return UNKNOWN
    return hash_of(np.stack(scores))
