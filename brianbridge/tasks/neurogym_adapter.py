"""NeuroGym environments as tasks.

NeuroGym (https://neurogym.github.io) is optional, and wants an older numpy: ``make neurogym-test`` installs
it into an environment of its own.
"""

import numbers
import warnings
from dataclasses import field
from typing import Annotated

import numpy as np
from brian2.units import ms

from brianbridge.spelling import did_you_mean
from brianbridge.tasks.arguments import read_batch, read_duration, read_generator, show
from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.decisions import at_end, largest, outcome
from brianbridge.tasks.kinds import Names, Options
from brianbridge.tasks.trials import Trials

MOST_STEPS = 10**6


def _environment(name, value):
    if isinstance(value, str) or hasattr(value, "new_trial"):
        return value
    raise TypeError(
        f"{name}={show(value)} must be the name of a NeuroGym environment, such as 'DelayComparison-v0', "
        "or an environment that was made"
    )


class NeuroGym(BuiltInTask):
    """Show the trials of a NeuroGym environment.

    Input 'stimulus' is what the environment lets an agent observe. The targets are its ground truth, one-hot
    over the actions, of which action 0 is to keep fixating. Errors count in some of its periods.

    Parameters
    ----------
    environment : str or object
        Such as ``'DelayComparison-v0'``; or an environment that was made, with a time step of its own.
    options : dict
        Arguments with which the environment is made, such as ``{'sigma': 0.5}``.
    counted : list of str
        Periods in which errors count. If the environment has none of them, they count in all.

    Notes
    -----
    Conditions: what the environment says about a trial, as far as it is numbers and words, and 'target', the
    action that is right at the end of the trial. ``trials(..., coh=51.2)`` hands conditions on to the
    environment, as its ``new_trial`` takes them.

    The answer is the largest output in the last step; to keep fixating is no answer, unless it is right.

    NeuroGym draws with generators of its own, which are seeded from `rng`. Its noise is ``sigma/sqrt(dt)``.
    """

    environment: Annotated[object, _environment] = "PerceptualDecisionMaking-v0"
    options: Options = field(default_factory=dict)
    counted: Names = ("fixation", "decision")

    name = "neurogym"
    answer = "largest output at the end"

    def trials(self, rng, batch, dt, **wanted):
        """Draw trials: see `BuiltInTask.trials`; conditions are handed on to the environment."""
        with self._named():
            rng, batch, dt = read_generator(rng), read_batch(batch), read_duration("dt", dt, zero=False)
            environment = self._made(dt)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                environment.seed(int(rng.integers(2**31)))
                shown = [_Shown(environment, wanted) for _ in range(batch)]
            return self._together(shown, dt)

    def _made(self, dt):
        """The environment with this time step, in ms."""
        step = float(dt / ms)
        if not isinstance(self.environment, str):
            if abs(self.environment.dt - step) > 1e-9:
                raise ValueError(
                    f"the environment has a time step of {self.environment.dt} ms, but dt={show(dt)}; make "
                    f"it with dt={step:g}, or hand over its name"
                )
            return self.environment
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import gymnasium
                import neurogym  # noqa: F401 - registers the environments
        except ImportError as error:
            raise ModuleNotFoundError(
                f"the task neurogym needs NeuroGym, which cannot be imported ({error}). It wants an older "
                "numpy: make neurogym-test, in the folder of brianbridge, installs it into .venv-neurogym"
            ) from None
        if self.environment not in gymnasium.registry:
            ours = [name for name, spec in gymnasium.registry.items() if "neurogym" in str(spec.entry_point)]
            raise ValueError(f"no environment {self.environment!r}; {did_you_mean(self.environment, ours)}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = int(step) if step.is_integer() else step
            return gymnasium.make(self.environment, dt=whole, **self.options).unwrapped

    def _together(self, shown, dt):
        """Trials of one length, padded with zeros."""
        steps, batch = max(trial.steps for trial in shown), len(shown)
        inputs = np.zeros((steps, batch, shown[0].observations.shape[1]))
        targets = np.zeros((steps, batch, shown[0].actions))
        mask = np.zeros_like(targets)
        for place, trial in enumerate(shown):
            inputs[: trial.steps, place] = trial.observations
            targets[: trial.steps, place] = np.eye(trial.actions)[trial.truth]
            counted = [trial.periods[name] for name in self.counted if name in trial.periods]
            for start, stop in counted or [(0, trial.steps)]:
                mask[start:stop, place] = 1.0
        periods = {name: np.array([trial.periods[name] for trial in shown]) for name in shown[0].periods}
        epochs = {name: epoch for name, epoch in periods.items() if (epoch[:, 1] > epoch[:, 0]).any()}
        common = set.intersection(*(set(trial.conditions) for trial in shown))
        conditions = {name: np.array([t.conditions[name] for t in shown]) for name in sorted(common)}
        conditions["target"] = np.array([trial.truth[-1] for trial in shown])
        return Trials({"stimulus": inputs}, targets, mask, epochs, conditions, float(dt), shown[0].channels)

    def judge(self, output, trials):
        """Find the largest output at the end of each trial."""
        choice, wanted = largest(at_end(output, trials)), trials.conditions["target"]
        return outcome(np.where((choice == 0) & (wanted != 0), -1, choice), wanted, none=-1)


class _Shown:
    """One trial of an environment, copied and checked."""

    def __init__(self, environment, wanted):
        information = environment.new_trial(**wanted) or {}
        missing = [name for name in ("ob", "gt") if getattr(environment, name, None) is None]
        if missing:
            raise ValueError(f"the environment says nothing about {' and '.join(missing)} of a whole trial")
        self.actions = int(getattr(environment.action_space, "n", 0))
        if not self.actions:
            raise ValueError("the environment has no numbered actions (gymnasium.spaces.Discrete)")
        self.observations = np.array(environment.ob, dtype=float).reshape(len(environment.ob), -1)
        self.truth = np.array(environment.gt).astype(int)
        self.steps = len(self.truth)
        if self.steps != len(self.observations) or not 0 < self.steps <= MOST_STEPS:
            raise ValueError(
                f"the environment has {len(self.observations)} observations, {self.steps} answers"
            )
        self.periods = {
            name: [min(int(environment.start_ind[name]), self.steps), min(int(stop), self.steps)]
            for name, stop in environment.end_ind.items()
        }
        self.conditions = {
            name: value
            for name, value in information.items()
            if isinstance(value, numbers.Number | str | np.generic)
        }
        self.channels = _channels(environment, self.observations.shape[1], self.actions)


def _channels(environment, inputs, actions):
    """Names of channels and actions, as the environment has them."""

    def labels(space, count):
        named = [str(number) for number in range(count)]
        for name, where in (getattr(space, "name", None) or {}).items():
            places = list(np.atleast_1d(where))
            for order, place in enumerate(places):
                if 0 <= place < count:
                    named[place] = str(name) if len(places) == 1 else f"{name} {order}"
        return tuple(named)

    return {
        "stimulus": labels(getattr(environment, "observation_space", None), inputs),
        "target": labels(environment.action_space, actions),
    }
