"""Built-in tasks by the names that files and the command line use."""

import inspect

from brianbridge.tasks.integration import ContextIntegration
from brianbridge.tasks.spelling import did_you_mean

TASKS = {task.name: task for task in (ContextIntegration,)}


class UnknownTaskError(KeyError):
    """No built-in task has this name."""

    def __str__(self):
        return self.args[0]  # a plain KeyError shows its message in quotes, with escapes


def names():
    """Return the names of the built-in tasks, sorted."""
    return sorted(TASKS)


def make(name, /, **arguments):
    """Make a built-in task from its name.

    Parameters
    ----------
    name : str
        One of `names`.
    **arguments
        Those of the task's class. Quantities may be text, such as ``delay='300 ms'`` or ``delay='300*ms'``.

    Returns
    -------
    Task

    Raises
    ------
    UnknownTaskError
        If no built-in task has this name. It is a KeyError.
    TypeError
        If the task does not have one of the arguments.

    Examples
    --------
    >>> make('context_integration', delay='300 ms').delay
    300. * msecond
    """
    if name not in TASKS:
        raise UnknownTaskError(
            f"no built-in task is called {name!r}; {did_you_mean(name, TASKS)} "
            f"(A task of your own is handed over as an object, not by name.)"
        )
    known = inspect.signature(TASKS[name]).parameters
    for argument in arguments:
        if argument not in known:
            raise TypeError(f"{name} has no argument {argument!r}; {did_you_mean(argument, known)}")
    return TASKS[name](**arguments)
