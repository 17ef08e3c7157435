"""Context-dependent integration of noisy evidence."""

import numpy as np
from brian2.units import ms

from brianbridge.tasks.arguments import (
    read_batch,
    read_duration,
    read_generator,
    read_number,
    written_arguments,
)
from brianbridge.tasks.conditions import balanced
from brianbridge.tasks.decisions import first_crossing, outcome, read_output, wanted_sign
from brianbridge.tasks.epochs import during, last_step, lay_out
from brianbridge.tasks.streams import held, noise_per_step, noisy_offsets, one_hot
from brianbridge.tasks.trials import Trials


class ContextIntegration:
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
    bound : float
        The answer is given when the output exceeds +bound or goes below -bound.

    Attributes
    ----------
    noise_step : Quantity
        The noise is N(0, noise**2) per step of 1 ms. At any other dt its power is held fixed: the standard
        deviation is ``noise*sqrt(noise_step/dt)``, so the task is equally hard.

    Notes
    -----
    Conditions of the trials: 'context' (0 or 1: the cued stream), 'sign_0' and 'sign_1' (-1 or +1: the
    streams), 'target' (-1 or +1: the sign of the cued stream).

    Li, Kim & Sejnowski 2020 (doi:10.1101/2020.06.11.147405) call this task INT, and delayed INT with a delay
    of 300 ms. They give fixation, stimulus, delay, noise and bound, but neither the offset, nor the encoding
    of the context, nor the length of the response. Offset, encoding, and silence outside the stimulus follow
    the code of Kim, Li & Sejnowski 2019 (doi:10.1073/pnas.1905926116); 300 ms of response are our choice.

    Examples
    --------
    >>> delayed = ContextIntegration(delay=300*ms)
    >>> delayed.trials(rng=1, batch=16, dt=1*ms).duration
    1.05 * second
    """

    name = "context_integration"
    noise_step = 1 * ms

    def __init__(
        self,
        fixation=300 * ms,
        stimulus=150 * ms,
        delay=0 * ms,
        response=300 * ms,
        offset=0.5,
        noise=1.0,
        bound=0.8,
    ):
        # Keep every argument under its own name: `arguments` reads them back.
        self.fixation = read_duration("fixation", fixation)
        self.stimulus = read_duration("stimulus", stimulus, zero=False)
        self.delay = read_duration("delay", delay)
        self.response = read_duration("response", response, zero=False)
        self.offset = read_number("offset", offset)
        self.noise = read_number("noise", noise)
        self.bound = read_number("bound", bound, zero=False)

    @property
    def arguments(self):
        """Arguments that rebuild the task, fit for JSON: numbers, and durations as text such as '300 ms'."""
        return written_arguments(self)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"ContextIntegration({arguments})"

    def trials(self, rng, batch, dt):
        """Draw trials.

        Parameters
        ----------
        rng : numpy Generator or int
            An integer is a seed.
        batch : int
            Number of trials.
        dt : Quantity
            Time step; it must divide every epoch.

        Returns
        -------
        Trials
        """
        rng, batch, dt = read_generator(rng), read_batch(batch), read_duration("dt", dt, zero=False)
        epochs = lay_out(
            {
                "fixation": self.fixation,
                "stimulus": self.stimulus,
                "delay": self.delay,
                "response": self.response,
            },
            batch,
            dt,
        )
        steps = last_step(epochs)

        conditions = balanced(rng, batch, context=[0, 1], sign_0=[-1, 1], sign_1=[-1, 1])
        signs = np.stack([conditions["sign_0"], conditions["sign_1"]], axis=1)
        conditions["target"] = signs[np.arange(batch), conditions["context"]]

        streams = noisy_offsets(
            rng,
            self.offset * signs,
            noise_per_step(self.noise, self.noise_step, dt),
            during(epochs["stimulus"], steps),
        )
        context = held(one_hot(conditions["context"], 2), np.ones((steps, batch), dtype=bool))
        targets = held(conditions["target"][:, np.newaxis], during(epochs["response"], steps))
        return Trials(
            inputs={"stimulus": np.concatenate([streams, context], axis=2)},
            targets=targets,
            mask=np.ones_like(targets),
            epochs=epochs,
            conditions=conditions,
            dt=float(dt),
        )

    def outcomes(self, output, trials):
        """Name the outcome of each trial.

        The answer is the first bound that the output crosses in the response: an output that crosses both has
        chosen the first. Li et al. do not say how they count such trials; the first crossing is what an
        experimenter would record, and no trial can then be both correct and incorrect. An output that has
        crossed before the response begins and stays there counts as crossing in the first step of the
        response.

        Parameters
        ----------
        output : array (time, batch, 1)
        trials : Trials

        Returns
        -------
        str array (batch,)
            'correct', 'incorrect', or 'none' where the output stays within the bounds throughout the
            response.

        Raises
        ------
        ValueError
            If the output does not have the shape of ``trials.targets``, or is not finite.
        """
        output, response = read_output(output, trials), trials.during("response")
        choice = first_crossing(output[:, :, 0], response, self.bound)
        return outcome(choice, wanted_sign(trials.targets[:, :, 0], response))

    def score(self, output, trials):
        """Tell which trials are correct: bool array (batch,). See `outcomes`."""
        return self.outcomes(output, trials) == "correct"
