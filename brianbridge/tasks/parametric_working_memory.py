"""Comparing two frequencies, a delay apart, that are given as firing rates."""

import numpy as np

from brianbridge.tasks.choice_task import ChoiceTask
from brianbridge.tasks.comparison_after_delay import ROMO_PAIRS, in_both_orders
from brianbridge.tasks.kinds import Duration, Lasting, Pairs, RandomDuration
from brianbridge.tasks.preset import SONG2016, published
from brianbridge.tasks.streams import tuned


class ParametricWorkingMemory(ChoiceTask):
    """Tell which of two frequencies, a delay apart, is higher.

    Input 'stimulus' has a positively and a negatively tuned channel, 0.4 to 1.2 over the range of the
    frequencies, during 'first' and 'second'.

    Parameters
    ----------
    fixation, first, delay, second, decision : Quantity, str, or (the delay) distribution
        Durations of the epochs, in this order.
    pairs : list of pairs
        Frequencies in Hz that are compared, each pair in both orders.
    high, low, catch, catch_duration, baseline, noise, noise_tau
        See `ChoiceTask`.

    Notes
    -----
    Conditions: 'f1' and 'f2' in Hz, and those of `ChoiceTask`; output 0 is right if f1 is higher.

    Song, Yang & Wang 2016 (doi:10.1371/journal.pcbi.1004792), fig. 7. They stop training when the worst
    condition is 85 % correct (`brianbridge.tasks.decisions.accuracy_by_condition`), and test with a fixation
    of 500 ms and a delay of 3000 ms.
    """

    fixation: Duration = "100 ms"
    first: Lasting = "500 ms"
    delay: RandomDuration = "uniform(2500 ms, 3500 ms)"
    second: Lasting = "500 ms"
    decision: Lasting = "300 ms"
    pairs: Pairs = ROMO_PAIRS

    name = "parametric_working_memory"
    order = ("fixation", "first", "delay", "second", "decision")
    channels = {"stimulus": ("f +", "f -"), "target": ("f1 > f2", "f1 < f2")}
    presets = {"song2016": published(SONG2016, "parametric working memory", "20 ms")}

    @property
    def regular(self):
        """Table of both frequencies."""
        table = in_both_orders(self.pairs)
        return table | {"target": np.where(table["f1"] > table["f2"], 0, 1)}

    def lay(self, course):
        """Both tunings of both frequencies."""
        lowest, highest = np.min(self.pairs), np.max(self.pairs)
        signal = 0.0
        for name, epoch in (("f1", "first"), ("f2", "second")):
            frequency = course.conditions[name]
            both = np.stack([tuned(frequency, lowest, highest), tuned(frequency, highest, lowest)], axis=1)
            signal = signal + course.held(both, epoch)
        return self.noisy(course, signal), *self.targets(course)
