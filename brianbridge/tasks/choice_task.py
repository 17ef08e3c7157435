"""Tasks of Song, Yang & Wang (2016) that are answered by the larger of two outputs."""

from typing import ClassVar

import numpy as np

from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.conditions import mixed, only, rows, size
from brianbridge.tasks.decisions import at_end, largest, outcome
from brianbridge.tasks.kinds import Fraction, Lasting, Number, Positive, RandomDuration
from brianbridge.tasks.streams import rectified, white_noise_sd

NOT_A_CONDITION = {"i": -1, "f": np.nan, "U": "", "b": False}


class NoisyInputTask(BuiltInTask):
    """Inputs on a baseline, with white noise, rectified: ``[baseline + signal + sqrt(2*tau)*noise*xi]+``.

    The samples are held for one step each, so their standard deviation is ``sqrt(2*tau/dt)*noise``. Noise and
    baseline go on where trials are padded to the length of the longest.

    Parameters
    ----------
    baseline : float
    noise : float
        Standard deviation after filtering with `noise_tau`.
    noise_tau : Quantity or str
    """

    baseline: Number = 0.2
    noise: Number = 0.01
    noise_tau: Lasting = "100 ms"

    def noisy(self, course, signal):
        """Make the inputs from the signal (time, batch, channels)."""
        sd = white_noise_sd(self.noise, self.noise_tau, course.dt)
        return {"stimulus": rectified(course.rng, signal, self.baseline, sd)}


class ChoiceTask(NoisyInputTask):
    """Two outputs, of which the one that is chosen shall be high and the other low.

    Errors count in 'fixation', where both shall be low, and in 'decision'. In catch trials there is no
    stimulus, and both shall be low throughout.

    Parameters
    ----------
    high, low : float
        Targets.
    catch : float
        Probability of a catch trial.
    catch_duration : Quantity, str, or distribution
    baseline, noise, noise_tau
        See `NoisyInputTask`.

    Notes
    -----
    Conditions: 'target' (0 or 1: the output that is to be chosen; -1 in catch trials) and 'catch'. In catch
    trials the other conditions are NaN, -1 or ''.

    The answer is the larger output in the last step of the trial. Of a catch trial it is correct not to
    choose: the outputs differ by less than half of ``high - low``. Published fractions of correct trials
    leave catch trials out: for these, draw trials with ``catch=False``, or make the task with ``catch=0``.
    """

    high: Positive = 1.0
    low: Number = 0.2
    catch: Fraction = 1 / 11
    catch_duration: RandomDuration = "uniform(2000 ms, 2500 ms)"

    order: ClassVar[tuple] = ("fixation", "stimulus", "decision")
    answer: ClassVar[str] = "larger output at the end"

    def check(self):
        """Refuse targets that do not tell the answers apart."""
        if self.high <= self.low:
            raise ValueError(f"high={self.high} must be above low={self.low}")

    @property
    def regular(self):
        """Table of the conditions with a stimulus."""
        raise NotImplementedError

    @property
    def conditions(self):
        """Table of the conditions; the last one is the catch trial, where there are such."""
        regular, kinds = self.regular, sorted({self.catch > 0, self.catch == 1})
        table = {
            name: np.append(column, np.array(NOT_A_CONDITION[column.dtype.kind], column.dtype))
            for name, column in regular.items()
        }
        catch = np.arange(size(table)) == size(regular)
        return rows(table | {"catch": catch}, np.isin(catch, kinds))

    def draw_conditions(self, rng, batch, wanted):
        """Draw conditions and catch trials."""
        return mixed(rng, batch, only(self.conditions, **wanted), "catch", self.catch)

    def durations(self, conditions):
        """Epochs of the trials, and 'catch', the only one of a catch trial."""
        return {"catch": self.catch_duration} | super().durations(conditions)

    def takes_place(self, epoch, conditions):
        """Tell which trials have an epoch."""
        return conditions["catch"] == (epoch == "catch")

    def deciding(self, course):
        """Mark the steps in which the chosen output shall be high."""
        return course.during("decision")

    def targets(self, course):
        """Lay targets and mask."""
        deciding = self.deciding(course)
        chosen = course.conditions["target"][:, np.newaxis] == np.arange(2)
        targets = np.where(deciding[:, :, np.newaxis] & chosen, self.high, self.low)
        mask = deciding | course.during("catch", "fixation")
        return targets, np.repeat(mask[:, :, np.newaxis].astype(float), 2, axis=2)

    def judge(self, output, trials):
        """Compare the outputs at the end of each trial."""
        last, catch = at_end(output, trials), trials.conditions["catch"]
        chosen = outcome(largest(last), trials.conditions["target"], none=-1)
        undecided = np.abs(last[:, 0] - last[:, 1]) < (self.high - self.low) / 2
        return np.where(catch, np.where(undecided, "correct", "incorrect"), chosen)
