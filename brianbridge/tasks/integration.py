"""Context-dependent integration of noisy evidence."""

from dataclasses import replace
from functools import partial

import numpy as np
from brian2.units import Quantity, second

from brianbridge.tasks.arguments import read_duration, show
from brianbridge.tasks.conditions import crossed, mixed, only, rows
from brianbridge.tasks.epochs import count_steps
from brianbridge.tasks.kinds import Duration, Flag, Fraction, Lasting, Number, word_or
from brianbridge.tasks.preset import KIM2019_PNAS, LI2020, LIN2024, published
from brianbridge.tasks.sign_task import Rule, SignTask
from brianbridge.tasks.streams import held, noise_per_step, noisy_offsets, one_hot

NoiseStep = word_or("dt", partial(read_duration, zero=False))
LIN_RULE = dict(rule="sign of mean", noise_step="dt")


class ContextIntegration(SignTask):
    """Tell the sign of that one of two noisy streams which the context points to.

    Input 'stimulus' has four channels. Channels 0 and 1 are the streams: Gaussian noise around +offset or
    -offset while the stimulus is on, zero outside it; their signs are independent of each other. Channels 2
    and 3 are the context, one-hot and constant throughout the trial: channel 2 cues stream 0, channel 3 cues
    stream 1. The target is 0 until the response begins, then +1 or -1, the sign of the cued stream. Every
    step counts (the mask is 1 everywhere), and the delay is silent.

    The eight combinations of context and signs are as frequent as each other, as far as the batch allows.

    Parameters
    ----------
    fixation, stimulus, delay, response : Quantity or str
        Durations of the epochs, in this order. Fixation and delay may be zero; such an epoch is left out.
    offset : float
        Mean of a stream is +offset or -offset. With 0 there is nothing to integrate: accuracy must be at
        chance.
    noise : float
        Standard deviation of a stream's samples at a time step of `noise_step`.
    noise_step : Quantity or str
        At any other dt the power of the noise is held fixed: the standard deviation is
        ``noise*sqrt(noise_step/dt)``, so the task is equally hard. With 'dt' it is `noise` at any time step.
    bound, rule, grace
        How the answer is read: see `SignTask`.

    Notes
    -----
    Conditions of the trials: 'context' (0 or 1: the cued stream), 'sign_0' and 'sign_1' (-1 or +1: the
    streams), 'target' (-1 or +1: the sign of the cued stream).

    Li, Kim & Sejnowski 2020 (doi:10.1101/2020.06.11.147405) call this task INT, and delayed INT with a delay
    of 300 ms. They give fixation, stimulus, delay, noise and bound, but neither the offset, nor the encoding
    of the context, nor the length of the response. Offset, encoding, and silence outside the stimulus follow
    the code of Kim, Li & Sejnowski 2019 (doi:10.1073/pnas.1905926116); 300 ms of response are our choice. Li
    et al. do not say how they count an output that crosses both bounds; the first crossing is what an
    experimenter would record. An output that has crossed before the response begins and stays there counts
    as crossing in the first step of the response.

    Lin & Huang 2024 (arXiv:2310.14621) define no decision: the sign of the mean output is our choice. The
    time steps of their paper and of their code differ by a factor of ten, and the noise is the same in each
    step of both.

    Examples
    --------
    >>> from brian2 import ms
    >>> delayed = ContextIntegration(delay=300*ms)
    >>> delayed.trials(rng=1, batch=16, dt=1*ms).duration
    1.05 * second
    >>> ContextIntegration.preset('lin2024').trials(rng=1, batch=16, dt=0.2*ms).steps
    500
    """

    fixation: Duration = "300 ms"
    stimulus: Lasting = "150 ms"
    delay: Duration = "0 ms"
    response: Lasting = "300 ms"
    offset: Number = 0.5
    noise: Number = 1.0
    noise_step: NoiseStep = "1 ms"

    name = "context_integration"
    order = ("fixation", "stimulus", "delay", "response")
    channels = {"stimulus": ("stream 0", "stream 1", "context 0", "context 1"), "target": ("sign",)}
    presets = {
        "li2020": published(LI2020, "INT", "1 ms"),
        "li2020_delayed": published(LI2020, "delayed INT", "1 ms", delay="300 ms"),
        "kim2019_pnas": published(
            KIM2019_PNAS,
            "context-dependent integration",
            "5 ms",
            fixation="250 ms",
            stimulus="1000 ms",
            response="1250 ms",
            noise_step="5 ms",
            bound=0.7,
            rule="any crossing",
            grace="250 ms",
        ),
        "lin2024": published(
            LIN2024,
            "contextual integration",
            "0.2 ms",
            fixation="10 ms",
            stimulus="40 ms",
            response="50 ms",
            **LIN_RULE,
        ),
        "lin2024_code": published(
            LIN2024,
            "contextual integration, as in the code",
            "2 ms",
            fixation="100 ms",
            stimulus="400 ms",
            response="500 ms",
            **LIN_RULE,
        ),
    }

    @property
    def conditions(self):
        """Table of context and signs, with the sign that is wanted."""
        table = crossed(context=[0, 1], sign_0=[-1, 1], sign_1=[-1, 1])
        return table | {"target": np.where(table["context"] == 0, table["sign_0"], table["sign_1"])}

    def lay(self, course):
        """Streams and context side by side."""
        streams, context = self.streams(course), self.context(course)
        return {"stimulus": np.concatenate([streams, context], axis=2)}, *self.target(course)

    def streams(self, course):
        """Draw the two noisy streams."""
        signs = np.stack([course.conditions["sign_0"], course.conditions["sign_1"]], axis=1)
        noise_step = course.dt if self.noise_step == "dt" else self.noise_step
        sd = noise_per_step(self.noise, noise_step, course.dt)
        return noisy_offsets(course.rng, self.offset * signs, sd, course.during("stimulus"))

    def context(self, course):
        """Lay the context, throughout the trial."""
        return held(one_hot(course.conditions["context"], 2), course.within())

    def in_other_context(self, trials):
        """The same trials, judged as if the other stream had been cued (see `perturb.switch_context`)."""
        both = trials.conditions["sign_0"] + trials.conditions["sign_1"]
        other = np.where(trials.targets != 0, both[:, np.newaxis] - trials.targets, 0.0)
        conditions = trials.conditions | {"target": both - trials.conditions["target"]}
        return replace(trials, targets=other, conditions=conditions)


class ContextSwitch(ContextIntegration):
    """Context-dependent integration in which the context changes to the other one on the way.

    As `ContextIntegration`, but from `switch` on the other channel of the context is 1, and the target, as
    far as it lies after the switch, is the sign of the other stream.

    Parameters
    ----------
    switch : Quantity or str
        Time from the beginning of the trial.
    opposite : bool
        Whether the streams always have opposite signs, so that the answer changes with the context.
    switched : float
        Fraction of the trials in which the context changes, drawn for each trial.
    fixation, stimulus, delay, response, offset, noise, noise_step, bound, rule, grace
        See `ContextIntegration`. Answers count after the switch only.

    Notes
    -----
    Conditions: those of `ContextIntegration`, where 'context' is the first one and 'target' the last sign
    that is wanted, and 'switched'.

    Lin & Huang 2024 (arXiv:2310.14621, fig. 5) switch during the stimulus; their code switches in the
    response, after which it wants the new sign. They judge by the nearest attractor: of an output, that is
    the sign.
    """

    switch: Lasting = "30 ms"
    opposite: Flag = True
    switched: Fraction = 1.0
    fixation: Duration = "10 ms"
    stimulus: Lasting = "40 ms"
    response: Lasting = "50 ms"
    noise_step: NoiseStep = "dt"
    rule: Rule = "sign of mean"

    name = "context_switch"
    presets = {
        "lin2024": published(LIN2024, "context switch", "0.2 ms"),
        "lin2024_code": published(
            LIN2024,
            "context switch, as in the code",
            "2 ms",
            fixation="100 ms",
            stimulus="400 ms",
            response="500 ms",
            switch="600 ms",
        ),
    }
    answer = "sign in the response, after the switch"

    def check(self):
        """Refuse a switch outside the trial."""
        super().check()
        length = self.fixation + self.stimulus + self.delay + self.response
        if self.switch >= length:
            raise ValueError(
                f"switch={show(self.switch)} must come before the end of the trial, {show(length)}"
            )

    @property
    def conditions(self):
        """Table of first context, signs and whether the context changes, with the last sign wanted."""
        kinds = sorted({self.switched > 0, self.switched == 1})
        table = crossed(context=[0, 1], sign_0=[-1, 1], sign_1=[-1, 1], switched=kinds)
        if self.opposite:
            table = rows(table, table["sign_0"] != table["sign_1"])
        last = table["context"] ^ table["switched"]
        return table | {"target": np.where(last == 0, table["sign_0"], table["sign_1"])}

    def draw_conditions(self, rng, batch, wanted):
        """Draw conditions with and without a change of the context."""
        return mixed(rng, batch, only(self.conditions, **wanted), "switched", self.switched)

    def context(self, course):
        """Lay the first context, and the other one from the switch on."""
        before = np.arange(course.steps) < count_steps("switch", self.switch, course.dt)
        second_context = course.conditions["context"] ^ course.conditions["switched"]
        first, last = one_hot(course.conditions["context"], 2), one_hot(second_context, 2)
        return np.where(before[:, np.newaxis, np.newaxis], first, last)

    def target(self, course):
        """Lay the sign of the cued stream, of the stream that is cued at the time."""
        cued = self.context(course)
        signs = np.stack([course.conditions["sign_0"], course.conditions["sign_1"]], axis=1)
        sign = np.sum(cued * signs, axis=2, keepdims=True)
        targets = np.where(course.during("response")[:, :, np.newaxis], sign, 0.0)
        return targets, np.ones_like(targets)

    def judged(self, trials):
        """Mark the steps of the response after the switch."""
        switch = count_steps("switch", self.switch, Quantity(trials.dt) * second)
        return super().judged(trials) & (np.arange(trials.steps) >= switch)[:, np.newaxis]
