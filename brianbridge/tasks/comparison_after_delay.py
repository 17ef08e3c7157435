"""Two stimuli, a delay between them, and a comparison."""

import numpy as np
from brian2.units import hertz

from brianbridge.tasks.arguments import show
from brianbridge.tasks.conditions import crossed
from brianbridge.tasks.kinds import Duration, Flag, Lasting, Pairs
from brianbridge.tasks.preset import KIM2019, LI2020, published
from brianbridge.tasks.sign_task import SignTask
from brianbridge.tasks.streams import sinusoid

ROMO_PAIRS = ((18.0, 10.0), (22.0, 14.0), (26.0, 18.0), (30.0, 22.0), (34.0, 26.0))


def in_both_orders(pairs):
    """Table of pairs of frequencies in both orders, 'f1' and 'f2'."""
    table = crossed(pair=range(len(pairs)), order=[0, 1])
    values = np.array(pairs)
    return {
        "f1": values[table["pair"], table["order"]],
        "f2": values[table["pair"], 1 - table["order"]],
    }


class DelayedMatch(SignTask):
    """Tell whether two pulses, a delay apart, have the same sign (delayed match to sample).

    Input 'stimulus' is +1 or -1 during 'sample' and 'test', on one channel or each on its own, otherwise 0.
    The target is the product of both signs in the response.

    Parameters
    ----------
    fixation, sample, delay, test, gap, response, end : Quantity or str
        Durations of the epochs, in this order.
    two_channels : bool
        Whether sample and test come on channels of their own.
    bound, rule, grace
        How the answer is read: see `SignTask`.

    Notes
    -----
    Conditions: 'first' and 'second' (-1 or +1), 'target' (+1 same, -1 different).

    Li, Kim & Sejnowski 2020 do not give the durations; those of their integration task are our choice, as is
    the single channel. Kim & Sejnowski 2019 train with the delay of 50 ms that their code has, and analyse
    with a fixation of 1000 ms and a delay of 750 ms; answers count from 200 ms after the test, as in their
    code, and what follows the test is kept for the analysis.

    Examples
    --------
    >>> from brian2 import ms
    >>> task = DelayedMatch.preset('kim2019')
    >>> trials = task.trials(rng=1, batch=4, dt=5*ms)
    >>> trials.duration
    1.5 * second
    """

    fixation: Duration = "300 ms"
    sample: Lasting = "150 ms"
    delay: Duration = "300 ms"
    test: Lasting = "150 ms"
    gap: Duration = "0 ms"
    response: Lasting = "300 ms"
    end: Duration = "0 ms"
    two_channels: Flag = False

    name = "delayed_match"
    order = ("fixation", "sample", "delay", "test", "gap", "response", "end")
    presets = {
        "li2020": published(LI2020, "DMS", "1 ms"),
        "kim2019": published(
            KIM2019,
            "DMS, training",
            "5 ms",
            **(
                KIM := dict(
                    fixation="250 ms",
                    sample="250 ms",
                    delay="50 ms",
                    test="250 ms",
                    gap="50 ms",
                    response="500 ms",
                    end="150 ms",
                    two_channels=True,
                    bound=0.7,
                    rule="any crossing",
                    grace="150 ms",
                )
            ),
        ),
        "kim2019_analysis": published(
            KIM2019, "DMS, analysis", "5 ms", **(KIM | dict(fixation="1000 ms", delay="750 ms"))
        ),
    }

    @property
    def channels(self):
        """Channels of the stimulus."""
        return {"stimulus": ("sample", "test") if self.two_channels else ("pulses",), "target": ("sign",)}

    @property
    def conditions(self):
        """Table of both signs and their product."""
        table = crossed(first=[-1, 1], second=[-1, 1])
        return table | {"target": table["first"] * table["second"]}

    def lay(self, course):
        """Two pulses."""
        sample = course.held(course.conditions["first"][:, np.newaxis], "sample")
        test = course.held(course.conditions["second"][:, np.newaxis], "test")
        stimulus = np.concatenate([sample, test], axis=2) if self.two_channels else sample + test
        return {"stimulus": stimulus}, *self.target(course)


class FrequencyDiscrimination(SignTask):
    """Tell which of two sinusoids, a delay apart, has the higher frequency.

    Input 'stimulus' is a sine of unit amplitude that begins with phase 0, during 'first' and 'second'. The
    target is +1 in the response if the first frequency is higher, otherwise -1.

    Parameters
    ----------
    fixation, first, delay, second, response : Quantity or str
        Durations of the epochs, in this order.
    pairs : list of pairs
        Frequencies in Hz that are compared, each pair in both orders.
    bound, rule, grace
        How the answer is read: see `SignTask`.

    Notes
    -----
    Conditions: 'f1' and 'f2' in Hz, 'target' (+1 or -1).

    Li, Kim & Sejnowski 2020 call this task DIS and give neither durations nor frequencies: all are our
    choice, the pairs being those of Romo and colleagues, as in Song, Yang & Wang 2016.
    """

    fixation: Duration = "300 ms"
    first: Lasting = "500 ms"
    delay: Duration = "300 ms"
    second: Lasting = "500 ms"
    response: Lasting = "300 ms"
    pairs: Pairs = ROMO_PAIRS

    name = "frequency_discrimination"
    order = ("fixation", "first", "delay", "second", "response")
    channels = {"stimulus": ("sinusoid",), "target": ("sign",)}
    presets = {"li2020": published(LI2020, "DIS", "1 ms")}

    @property
    def conditions(self):
        """Table of both frequencies and the sign of their difference."""
        table = in_both_orders(self.pairs)
        return table | {"target": np.where(table["f1"] > table["f2"], 1, -1)}

    def lay(self, course):
        """Two sinusoids."""
        highest = np.max(self.pairs) * hertz
        if 2 * float(highest * course.dt) >= 1:
            raise ValueError(
                f"dt={show(course.dt)} cannot show {show(highest)}; take less than {show(0.5 / highest)}"
            )
        stimulus = sum(
            sinusoid(course.conditions[frequency], course.time_in(epoch), course.during(epoch))
            for frequency, epoch in (("f1", "first"), ("f2", "second"))
        )
        return {"stimulus": stimulus}, *self.target(course)
