"""Frozen noise: a Brian2 network replays given random numbers instead of drawing its own.

Every ``randn()`` and ``rand()`` in the code of a neuron group becomes a call ``name(t, i)`` of a `TimedArray`
that holds the numbers, one row for each time step. It is only text and a `TimedArray`, and therefore works on
every target and device of Brian2.
"""

import re

import numpy as np
from brian2 import Network, NeuronGroup, Subgroup, Synapses, TimedArray

from brianbridge.generation.random_numbers import draw_key, number_draws, runner_name
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.roles import contained_objects

__all__ = ["freeze_noise", "thaw_noise"]

DRAWN = re.compile(r"\b(xi|xi_\w+|randn?\(\s*\))(?!\w)")


def freeze_noise(objects, noise, trial=0):
    """Let a network replay given random numbers.

    A second call replaces the first. Steps beyond the end of the numbers repeat the last row, as every
    `TimedArray` does: give as many rows as steps are run.

    Parameters
    ----------
    objects : Network, NeuronGroup, Synapses or sequence of them
    noise : dict of str to array, shape (steps, n) or (steps, batch, n)
        As in `Records.noise`: the keys are ``'RUNNER/number'``, the name of the runner (for example
        ``'cells_stateupdater'``) and the place of the call in its code.
    trial : int
        Which trial of a batch is replayed.

    Raises
    ------
    Refused
        If there are random numbers in the code of a `Synapses`.
    """
    groups = _groups(objects)
    refusals = [refusal for group in groups for refusal in _refusals(group)]
    if refusals:
        raise Refused(refusals)
    values = {key: _of_one_trial(key, array, trial) for key, array in noise.items()}
    for group in groups:
        for runner in contained_objects(group).values():
            if isinstance(group, NeuronGroup):
                runner.update_abstract_code = _Frozen(runner, values)


def thaw_noise(objects):
    """Let a network draw its own random numbers again.

    Parameters
    ----------
    objects : Network, NeuronGroup, Synapses or sequence of them
    """
    for group in _groups(objects):
        for runner in contained_objects(group).values():
            frozen = vars(runner).get("update_abstract_code")
            if isinstance(frozen, _Frozen):
                runner.abstract_code = frozen.text
                del runner.update_abstract_code


class _Frozen:
    """Takes the place of ``runner.update_abstract_code``."""

    def __init__(self, runner, noise):
        self.runner, self.noise = runner, noise
        frozen = vars(runner).get("update_abstract_code")
        # runners without a method of their own keep their text from one run to the next
        self.text = frozen.text if isinstance(frozen, _Frozen) else runner.abstract_code

    def __call__(self, run_namespace):
        runner = self.runner
        runner.abstract_code = self.text
        type(runner).update_abstract_code(runner, run_namespace)
        runner.abstract_code, draws = number_draws(runner.abstract_code, runner_name(runner))
        for name, draw in draws.items():
            runner.group.namespace[name] = self._timed_array(draw)

    def _timed_array(self, draw):
        key = draw_key(self.runner, draw.number)
        n = len(self.runner.group)
        if key not in self.noise:
            known = ", ".join(self.noise) or "none"
            raise ValueError(
                f"{self.runner.name}: the numbers of its {draw.function}() are to be frozen, but {key!r} "
                f"is not among those given ({known})."
            )
        if self.noise[key].shape[1] != n:
            raise ValueError(
                f"The noise {key!r} is for {self.noise[key].shape[1]} neurons, but there are {n}."
            )
        return TimedArray(self.noise[key], dt=self.runner.clock.dt)


def _groups(objects):
    if isinstance(objects, Network):
        objects = objects.objects
    elif not isinstance(objects, list | tuple | set):
        objects = [objects]
    found = []
    for obj in objects:
        if isinstance(obj, Subgroup):
            obj = obj.source
        if isinstance(obj, NeuronGroup | Synapses) and obj not in found:
            found.append(obj)
    return found


def _of_one_trial(key, array, trial):
    array = np.asarray(array, dtype=float)
    if array.ndim == 3:
        array = array[:, trial if array.shape[1] > 1 else 0]
    if array.ndim != 2:
        raise ValueError(
            f"The noise {key!r} has the shape {array.shape}; (steps, n) or (steps, batch, n) is needed."
        )
    return array


def _refusals(group):
    if isinstance(group, NeuronGroup):
        return []
    equations = [f"{eq.varname} = {eq.expr.code}" for eq in group.equations.values() if eq.expr is not None]
    codes = [getattr(group, name).code for name in group._synaptic_updaters]
    return [
        Refusal(
            group.name,
            f"the random numbers in {text.strip()!r} cannot be frozen",
            "draw them in one of the neuron groups that it connects",
        )
        for text in equations + codes
        if DRAWN.search(text)
    ]
