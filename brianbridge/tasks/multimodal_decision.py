"""Choices from two kinds of evidence: one of which counts, or both of which help."""

from dataclasses import replace

import numpy as np

from brianbridge.tasks.choice_task import ChoiceTask
from brianbridge.tasks.conditions import crossed
from brianbridge.tasks.kinds import Duration, Fraction, Lasting, Number, Numbers
from brianbridge.tasks.perceptual_decision import evidence
from brianbridge.tasks.preset import SONG2016, published
from brianbridge.tasks.streams import one_hot, tuned


class MotionOrColour(ChoiceTask):
    """Choose by the motion or by the colour of a stimulus, as the context demands.

    Input 'stimulus' has two channels each for context (one-hot), evidence of motion, and evidence of colour;
    all are shown during 'stimulus' only.

    Parameters
    ----------
    fixation, stimulus, decision : Quantity or str
        Durations of the epochs, in this order.
    coherences : list of float
        In percent, of motion and of colour.
    high, low, catch, catch_duration, baseline, noise, noise_tau
        See `ChoiceTask`.

    Notes
    -----
    Conditions: 'context' (0 motion, 1 colour), 'motion' and 'colour' (coherences in percent),
    'motion_choice', 'colour_choice' (0 or 1), and those of `ChoiceTask`.

    Song, Yang & Wang 2016 (doi:10.1371/journal.pcbi.1004792), fig. 4: context-dependent integration. They
    test with a fixation of 400 ms.
    """

    fixation: Duration = "100 ms"
    stimulus: Lasting = "800 ms"
    decision: Lasting = "300 ms"
    coherences: Numbers = (5.0, 15.0, 50.0)
    catch: Fraction = 1 / 73

    name = "motion_or_colour"
    channels = {
        "stimulus": ("context motion", "context colour", "motion 0", "motion 1", "colour 0", "colour 1"),
        "target": ("choice 0", "choice 1"),
    }
    presets = {"song2016": published(SONG2016, "context-dependent integration", "20 ms")}

    @property
    def regular(self):
        """Table of context, coherences and choices."""
        table = crossed(
            context=[0, 1],
            motion=self.coherences,
            motion_choice=[0, 1],
            colour=self.coherences,
            colour_choice=[0, 1],
        )
        target = np.where(table["context"] == 0, table["motion_choice"], table["colour_choice"])
        return table | {"target": target}

    def lay(self, course):
        """Context, motion and colour side by side."""
        shown = course.conditions
        signal = np.column_stack(
            [
                one_hot(shown["context"], 2),
                evidence(shown["motion"], shown["motion_choice"]),
                evidence(shown["colour"], shown["colour_choice"]),
            ]
        )
        return self.noisy(course, course.held(signal, "stimulus")), *self.targets(course)

    def in_other_context(self, trials):
        """The same trials, judged as if the other feature had been cued (see `perturb.switch_context`)."""
        target = trials.conditions["target"]
        other = trials.conditions["motion_choice"] + trials.conditions["colour_choice"] - target
        changed = (other != target)[:, np.newaxis]
        targets = np.where(changed, trials.targets[..., ::-1], trials.targets)
        return replace(trials, targets=targets, conditions=trials.conditions | {"target": other})


class MultisensoryIntegration(ChoiceTask):
    """Tell whether the rate of a visual, auditory or combined stimulus is above a boundary.

    Input 'stimulus' has a positively and a negatively tuned channel for each modality, 0.4 to 1.2 over the
    range of the rates, and 0 for a modality that is absent; and a start cue, 1 during stimulus and decision.

    Parameters
    ----------
    fixation, stimulus, decision : Quantity or str
        Durations of the epochs, in this order.
    rates : list of float
        Events per second.
    boundary : float
        Above it output 0 is right, below it output 1.
    high, low, catch, catch_duration, baseline, noise, noise_tau
        See `ChoiceTask`.

    Notes
    -----
    Conditions: 'rate', 'modality' ('v', 'a' or 'va'), and those of `ChoiceTask`.

    Song, Yang & Wang 2016 (doi:10.1371/journal.pcbi.1004792), fig. 6. In their code the start cue does not
    reach the network: its input weights are masked. They test with a fixation of 500 ms.
    """

    fixation: Duration = "100 ms"
    stimulus: Lasting = "1000 ms"
    decision: Lasting = "300 ms"
    rates: Numbers = (9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0)
    boundary: Number = 12.5
    catch: Fraction = 5 / 25

    name = "multisensory_integration"
    channels = {
        "stimulus": ("visual +", "auditory +", "visual -", "auditory -", "start cue"),
        "target": ("high rate", "low rate"),
    }
    presets = {"song2016": published(SONG2016, "multisensory integration", "20 ms")}

    def check(self):
        """Refuse a rate on the boundary."""
        super().check()
        if self.boundary in self.rates or len(set(self.rates)) < 2:
            raise ValueError(
                f"rates={list(self.rates)} must be two or more different ones, none of them "
                f"boundary={self.boundary}"
            )

    @property
    def regular(self):
        """Table of rates and modalities."""
        table = crossed(rate=self.rates, modality=["v", "a", "va"])
        return table | {"target": np.where(table["rate"] > self.boundary, 0, 1)}

    def lay(self, course):
        """Both tunings of both modalities, and the start cue."""
        modality, rate = course.conditions["modality"], course.conditions["rate"]
        present = np.stack([np.isin(modality, ["v", "va"]), np.isin(modality, ["a", "va"])], axis=1)
        tunings = [(min(self.rates), max(self.rates)), (max(self.rates), min(self.rates))]
        values = [np.where(present, tuned(rate, *bounds)[:, np.newaxis], 0.0) for bounds in tunings]
        signal = course.held(np.column_stack(values), "stimulus")
        cue = course.held(np.ones((course.batch, 1)), "stimulus", "decision")
        return self.noisy(course, np.concatenate([signal, cue], axis=2)), *self.targets(course)
