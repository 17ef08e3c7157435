"""Choosing the stronger one of two noisy inputs."""

import numpy as np
from brian2.units import second

from brianbridge.tasks.choice_task import ChoiceTask
from brianbridge.tasks.conditions import crossed
from brianbridge.tasks.decisions import first_above, outcome, read_output
from brianbridge.tasks.kinds import Duration, Flag, Fraction, Lasting, Numbers, Positive, RandomDuration
from brianbridge.tasks.preset import SONG2016, published


def evidence(coherence, choice):
    """Encode a coherence in percent as two inputs, ``(1 ± coherence/100)/2``: (batch,) to (batch, 2)."""
    sign = np.where(choice[:, np.newaxis] == np.arange(2), 1, -1)
    return (1 + sign * coherence[:, np.newaxis] / 100) / 2


class PerceptualDecision(ChoiceTask):
    """Choose the output that belongs to the stronger one of two noisy inputs.

    Input 'stimulus' has a channel for the evidence for each choice, ``(1 ± coherence/100)/2`` during
    'stimulus', and one that is 1 meanwhile if there is a start cue.

    Parameters
    ----------
    fixation : Quantity or str
    stimulus : Quantity, str, or distribution
        Of random length for instance ``'truncated_exponential(330 ms, 80 ms, 1500 ms)'``.
    decision : Quantity or str
    coherences : list of float
        In percent. 0 has no right answer: the target is then drawn at random.
    start_cue : bool
    high, low, catch, catch_duration, baseline, noise, noise_tau
        See `ChoiceTask`.

    Notes
    -----
    Conditions: 'coherence' in percent, and those of `ChoiceTask`.

    Song, Yang & Wang 2016 (doi:10.1371/journal.pcbi.1004792), figs. 2 and 3. They test with a longer
    fixation: 500 ms where the stimulus has a random length, otherwise 300 ms. They give 2000 to 2500 ms for
    catch trials; a uniform distribution is our choice.

    Examples
    --------
    >>> from brian2 import ms
    >>> task = PerceptualDecision.preset('song2016_variable', catch=0)
    >>> trials = task.trials(rng=1, batch=20, dt=20*ms)
    >>> bool((trials.times('stimulus')[:, 1] <= 1600*ms).all())
    True
    """

    fixation: Duration = "100 ms"
    stimulus: RandomDuration = "800 ms"
    decision: Lasting = "300 ms"
    coherences: Numbers = (3.2, 6.4, 12.8, 25.6, 51.2)
    start_cue: Flag = False

    name = "perceptual_decision"
    presets = {
        "song2016": published(SONG2016, "perceptual decision, fixed stimulus", "20 ms"),
        "song2016_variable": published(
            SONG2016,
            "perceptual decision, variable stimulus",
            "20 ms",
            stimulus="truncated_exponential(330 ms, 80 ms, 1500 ms)",
            start_cue=True,
        ),
    }

    def check(self):
        """Refuse coherences above 100 %."""
        super().check()
        if max(self.coherences) > 100:
            raise ValueError(f"coherences={list(self.coherences)} are percentages, at most 100")

    @property
    def channels(self):
        """Evidence for each choice, and the start cue if there is one."""
        cue = ("start cue",) if self.start_cue else ()
        return {"stimulus": ("evidence 0", "evidence 1", *cue), "target": ("choice 0", "choice 1")}

    @property
    def regular(self):
        """Table of coherences and choices."""
        return crossed(coherence=self.coherences, target=[0, 1])

    def lay(self, course):
        """Evidence and start cue."""
        strength = evidence(course.conditions["coherence"], course.conditions["target"])
        if self.start_cue:
            strength = np.column_stack([strength, np.ones(course.batch)])
        return self.noisy(course, course.held(strength, "stimulus")), *self.targets(course)


class ReactionTime(PerceptualDecision):
    """Choose the stronger one of two noisy inputs as soon as possible.

    As `PerceptualDecision`, but the stimulus goes on to the end of the trial, and the output that first
    exceeds `threshold` is the answer, whenever that is.

    Parameters
    ----------
    fixation, stimulus : Quantity, str, or distribution
    free : Quantity or str
        The chosen output shall be high from this long after the onset of the stimulus on; before, errors do
        not count.
    threshold : float
    coherences, start_cue, high, low, catch, catch_duration, baseline, noise, noise_tau
        See `PerceptualDecision`.

    Notes
    -----
    Conditions: those of `PerceptualDecision`. Of a catch trial it is correct not to answer.

    Song, Yang & Wang 2016 (doi:10.1371/journal.pcbi.1004792), fig. 2. They test with a fixation of 300 ms and
    1500 ms of stimulus.
    """

    free: Duration = "300 ms"
    threshold: Positive = 1.0
    start_cue: Flag = True
    high: Positive = 1.2
    catch: Fraction = 5 / 11

    name = "reaction_time"
    order = ("fixation", "stimulus")
    presets = {"song2016": published(SONG2016, "perceptual decision, reaction time", "20 ms")}
    answer = "first output above the threshold"

    def deciding(self, course):
        """Mark the steps in which the chosen output shall be high."""
        shown = course.during("stimulus")
        return shown & (course.time_in("stimulus") >= float(self.free) - 1e-9) if shown.any() else shown

    def judge(self, output, trials):
        """Find the output that crosses first."""
        choice, _ = self._first(output, trials)
        chosen = outcome(choice, trials.conditions["target"], none=-1)
        quiet = np.where(choice == -1, "correct", "incorrect")
        return np.where(trials.conditions["catch"], quiet, chosen)

    def reaction_times(self, output, trials):
        """Return the time from the onset of the stimulus to the answer.

        Parameters
        ----------
        output : array (time, batch, 2)
        trials : Trials

        Returns
        -------
        Quantity, shape (batch,)
            NaN where there is no answer, and in catch trials.
        """
        choice, step = self._first(read_output(output, trials), trials)
        onset = trials.epochs["stimulus"][:, 0] if "stimulus" in trials.epochs else 0
        valid = (choice >= 0) & ~trials.conditions["catch"]
        # The output of a step is that at its end.
        return np.where(valid, (step + 1 - onset) * trials.dt, np.nan) * second

    def _first(self, output, trials):
        begun = np.zeros(output.shape[:2], dtype=bool)
        for epoch in {"stimulus", "catch"} & set(trials.epochs):
            begun |= trials.during(epoch)
        return first_above(output, begun, self.threshold)
