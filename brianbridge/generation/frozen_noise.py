"""Frozen noise: a Brian2 network replays given random numbers instead of drawing its own.

Every ``randn()`` and ``rand()`` in a network's code becomes a call ``name(t, i)`` of a `TimedArray` that
holds the numbers, one row for each time step. It is only text and a `TimedArray`, and therefore works on
every target and device of Brian2; ``poisson(x)`` alone needs the numpy target.
"""

import numpy as np
from brian2 import Group, Network, PoissonInput, Subgroup, TimedArray

from brianbridge.generation.random_numbers import Draw, draw_key, number_draws, runner_name
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.roles import contained_objects

__all__ = ["freeze_noise", "frozen_arrays", "thaw_noise"]


def freeze_noise(objects, noise, trial=0):
    """Let a network replay given random numbers.

    A second call replaces the first. The first row is for the next step. Steps beyond the end of the numbers
    repeat the last row, as every `TimedArray` does: give as many rows as steps are run.

    Parameters
    ----------
    objects : Network, Group or sequence of groups
    noise : dict of str to array, shape (steps, n) or (steps, batch, n)
        As in `Records.noise`: the keys are ``'RUNNER/number'``, the name of the runner (for example
        ``'cells_stateupdater'``) and the place of the call in its code.
    trial : int
        Which trial of a batch is replayed.
    """
    values = {key: _of_one_trial(key, array, trial) for key, array in noise.items()}
    for runner in _runners(objects):
        time = objects.t_ if isinstance(objects, Network) else runner.clock.t_
        runner.update_abstract_code = _Frozen(runner, values, time)


def thaw_noise(objects):
    """Let a network draw its own random numbers again.

    Parameters
    ----------
    objects : Network, Group or sequence of groups
    """
    for runner in _runners(objects):
        frozen = vars(runner).get("update_abstract_code")
        if isinstance(frozen, _Frozen):
            runner.abstract_code = frozen.text
            del runner.update_abstract_code
            for name in frozen.names:  # the namespace may be the user's own dict
                runner.group.namespace.pop(name, None)


def frozen_arrays(network):
    """The arrays from which a network that has run, or was built, replays its numbers.

    Parameters
    ----------
    network : Network

    Returns
    -------
    dict of str to TimedArray
        Keys as in `freeze_noise`.
    """
    found = [vars(runner).get("update_abstract_code") for runner in _runners(network)]
    return {
        key: array for frozen in found if isinstance(frozen, _Frozen) for key, array in frozen.arrays.items()
    }


class _Frozen:
    """Takes the place of ``runner.update_abstract_code``."""

    def __init__(self, runner, noise, time):
        self.runner, self.noise, self.arrays = runner, noise, {}
        self.start = float(runner.clock._calc_timestep(time) * runner.clock.dt_)
        frozen = vars(runner).get("update_abstract_code")
        # runners without a method of their own keep their text from one run to the next
        self.text = frozen.text if isinstance(frozen, _Frozen) else runner.abstract_code
        self.names = set(frozen.names) if isinstance(frozen, _Frozen) else set()

    def __call__(self, run_namespace):
        runner, group = self.runner, self.runner.group
        runner.abstract_code = self.text
        type(runner).update_abstract_code(runner, run_namespace)
        external = {**run_namespace, **group.namespace, **(getattr(runner, "variables", None) or {})}
        code, names = number_draws(runner.abstract_code, runner_name(runner), group, external)
        if names and runner.clock.dt_ < group.clock.dt_:  # whose time is the t of the code
            raise Refused(
                [
                    Refusal(
                        runner.name,
                        f"it draws random numbers every {runner.clock.dt}, more often than {group.name} has "
                        f"time steps (of {group.clock.dt}): they cannot be replayed",
                        f"draw them in the equations of {group.name}, or give both the same dt",
                    )
                ]
            )
        for name, function in names.items():
            group.namespace[name] = function
            self.names.add(name)
            if isinstance(function, Draw):
                group.namespace[name] = self._timed_array(function)
                code = code.replace(
                    f"{name}(t", f"{name}(t - {self.start!r}*second" if self.start else f"{name}(t"
                )
        runner.abstract_code = code

    def _timed_array(self, draw):
        key = draw_key(self.runner, draw.number)
        n = 1 if draw.shared else len(self.runner.group)
        if key not in self.noise:
            known = ", ".join(self.noise) or "none"
            raise ValueError(
                f"{self.runner.name}: the numbers of its {draw.function}() are to be frozen, but {key!r} "
                f"is not among those given ({known})."
            )
        values = self.noise[key]
        if values.shape[1] != n:
            raise ValueError(f"The noise {key!r} is for {values.shape[1]} elements, but there are {n}.")
        self.arrays[key] = TimedArray(values[:, 0] if draw.shared else values, dt=self.runner.clock.dt)
        return self.arrays[key]


def _runners(objects):
    """Everything in a network, or in groups, whose code may draw random numbers."""
    if isinstance(objects, Network):
        objects = objects.objects
    elif not isinstance(objects, list | tuple | set):
        objects = [objects]
    found = {}
    for obj in objects:
        obj = obj.source if isinstance(obj, Subgroup) else obj
        runners = [obj] if isinstance(obj, PoissonInput) else contained_objects(obj).values()
        found |= {id(runner): runner for runner in runners if isinstance(obj, Group | PoissonInput)}
    return found.values()


def _of_one_trial(key, array, trial):
    array = np.asarray(array, dtype=float)
    if array.ndim == 3:
        array = array[:, trial if array.shape[1] > 1 else 0]
    if array.ndim != 2:
        raise ValueError(
            f"The noise {key!r} has the shape {array.shape}; (steps, n) or (steps, batch, n) is needed."
        )
    return array
