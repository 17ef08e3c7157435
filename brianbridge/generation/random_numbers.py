"""Random numbers in abstract code, numbered so that they can be named, drawn apart and replayed.

The surrogate and the frozen Brian2 network make the same text of the same code, so that Brian2's optimiser
orders their sums alike. Numbers whose distribution is fixed are drawn as they are: ``rand()``, ``randn()``,
and what a stateful function without arguments returns, such as a `BinomialFunction`. ``poisson(x)`` depends
on the state; it becomes a quantile, ``_poisson_quantile(u, x)`` of a uniform number u, so that what is drawn
does not.
"""

import re

import numpy as np
from brian2 import Synapses, second
from brian2.core.functions import DEFAULT_FUNCTIONS, Function
from brian2.groups.neurongroup import SubexpressionUpdater
from scipy import stats

from brianbridge.generation.codeobject import StatementsCodeObject

__all__ = ["Draw", "draw_key", "draws_numbers", "number_draws", "poisson_quantile", "runner_name"]

#: Counts the elements of a `Synapses`, whose ``i`` is that of the presynaptic neuron.
SYNAPSE = "_synapse"


class Draw(Function):
    """Stands for the random numbers of one place in a runner's code: ``name(t, i)``; ``name(t)`` if shared.

    Attributes
    ----------
    function : str
        ``'rand'``, ``'randn'``, ``'poisson'`` (a uniform number, of which a count is made), or the name of a
        function of the user.
    number : int
        The place: 0 for the first call in the code.
    shared : bool
        One number for the whole group.
    sample : callable or None
        The user's function: number of elements to their random numbers (ndarray).
    """

    def __init__(self, function, number, shared, sample):
        super().__init__(
            _never_called, arg_units=[second] if shared else [second, 1], return_unit=1, return_type="float"
        )
        self.function, self.number, self.shared, self.sample = function, number, shared, sample
        self.implementations.add_implementation(StatementsCodeObject, code=None)


def _never_called(*_):
    raise NotImplementedError("Random numbers are drawn by the surrogate, or replayed.")


def poisson_quantile(probability, mean):
    """The number of events up to which a Poisson variable comes with this probability.

    Of uniform random numbers, it makes Poisson distributed ones.

    Parameters
    ----------
    probability, mean : array_like

    Returns
    -------
    ndarray of int32
    """
    counts = np.asarray(stats.poisson.ppf(probability, mean))
    return np.maximum(counts, 0).astype(np.int32)  # scipy's quantile of zero is -1


_QUANTILE = Function(poisson_quantile, arg_units=[1, 1], return_unit=1, return_type="integer")
_QUANTILE.implementations.add_numpy_implementation(poisson_quantile)
_QUANTILE.implementations.add_implementation(StatementsCodeObject, code=None)


def draws_numbers(function):
    """Whether a function returns random numbers that depend on nothing, such as a `BinomialFunction`.

    Parameters
    ----------
    function : object

    Returns
    -------
    bool
    """
    return (
        isinstance(function, Function)
        and not function.stateless
        and function.auto_vectorise
        and len(function._arg_units) == 0
    )


def number_draws(code, prefix, group, functions=None):
    """Replace every call that draws random numbers by a call of its own name.

    Parameters
    ----------
    code : str
        Abstract code.
    prefix : str
        Begin of the new names; one for each runner of a group.
    group : brian2 Group
        Whose code it is.
    functions : Mapping, optional
        External names of the code; among them may be functions that draw.

    Returns
    -------
    code : str
        With ``_PREFIX_draw_0(t, i)`` and so on instead of the calls.
    names : dict of str to Function
        `Draw` for each of the new names.
    """
    samplers = {
        name: f
        for name, f in (functions or {}).items()
        if draws_numbers(f) and f is not DEFAULT_FUNCTIONS.get(name)
    }
    call = re.compile(rf"\b({'|'.join(['randn?', 'poisson', *map(re.escape, samplers)])})\s*\(\s*\)")
    prefix = re.sub(r"\W", "_", prefix)
    names = {}

    def number(statement):
        target = re.match(r"\s*(\w+)", statement)
        variable = group.variables.get(target.group(1)) if target else None
        shared = bool(getattr(variable, "scalar", False))

        def replacement(match):
            name, function = f"_{prefix}_draw_{len(names)}", match.group(1)
            sample = (
                samplers[function].implementations["numpy"].get_code(group) if function in samplers else None
            )
            names[name] = Draw(function, len(names), shared, sample)
            return f"{name}(t)" if shared else f"{name}(t, {_element(group)})"

        return call.sub(replacement, re.sub(r"\bpoisson\s*\(", "_poisson_quantile(poisson(), ", statement))

    code = "".join(number(part) for part in re.split(r"([;\n])", code))
    if "_poisson_quantile(" in code:
        names["_poisson_quantile"] = _QUANTILE
    return code, names


def _element(group):
    """Name of the variable that counts the elements of a group."""
    if not isinstance(group, Synapses):
        return "i"
    if SYNAPSE in group.variables and len(group.variables[SYNAPSE]) != len(group):
        del group.variables._variables[SYNAPSE]  # synapses have been added since
    if SYNAPSE not in group.variables:
        group.variables.add_arange(SYNAPSE, size=len(group))
    return SYNAPSE


def runner_name(runner):
    """Name of a runner that is the same for every network built from the same description."""
    if isinstance(runner, SubexpressionUpdater):  # Brian2 adds a running number
        return f"{runner.group.name}_subexpression_update"
    return runner.name


def draw_key(runner, number):
    """Key under which the random numbers of one place in a runner's code are kept."""
    return f"{runner_name(runner)}/{number}"
