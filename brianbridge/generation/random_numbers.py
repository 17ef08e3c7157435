"""Random numbers in abstract code, numbered so that they can be named, drawn apart and replayed.

The surrogate and the frozen Brian2 network make the same text of the same code, so that Brian2's optimiser
orders their sums alike.
"""

import re

from brian2 import second
from brian2.core.functions import Function
from brian2.groups.neurongroup import SubexpressionUpdater

from brianbridge.generation.codeobject import StatementsCodeObject

__all__ = ["Draw", "draw_key", "number_draws", "runner_name"]

CALL = re.compile(r"\b(randn?)\s*\(\s*\)")


class Draw(Function):
    """Stands for the random numbers of one place in a runner's code: ``name(t, i)``.

    Attributes
    ----------
    function : str
        ``'rand'`` or ``'randn'``.
    number : int
        The place: 0 for the first call in the code.
    """

    def __init__(self, function, number):
        super().__init__(_never_called, arg_units=[second, 1], return_unit=1)
        self.function, self.number = function, number
        self.implementations.add_implementation(StatementsCodeObject, code=None)


def _never_called(t, i):
    raise NotImplementedError("Random numbers are drawn in advance.")


def number_draws(code, prefix):
    """Replace every call of ``rand()`` and ``randn()`` by a call of its own name.

    Parameters
    ----------
    code : str
        Abstract code.
    prefix : str
        Begin of the new names; one for each runner of a group.

    Returns
    -------
    code : str
        With ``_PREFIX_draw_0(t, i)`` and so on instead of the calls.
    draws : dict of str to Draw
    """
    draws = {}

    def replacement(match):
        name = f"_{re.sub(r'\W', '_', prefix)}_draw_{len(draws)}"
        draws[name] = Draw(match.group(1), len(draws))
        return f"{name}(t, i)"

    return CALL.sub(replacement, code), draws


def runner_name(runner):
    """Name of a runner that is the same for every network built from the same description."""
    if isinstance(runner, SubexpressionUpdater):  # Brian2 adds a running number
        return f"{runner.group.name}_subexpression_update"
    return runner.name


def draw_key(runner, number):
    """Key under which the random numbers of one place in a runner's code are kept."""
    return f"{runner_name(runner)}/{number}"
