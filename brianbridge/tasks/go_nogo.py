"""Respond to one cue and not to another."""

import numpy as np

from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.conditions import crossed
from brianbridge.tasks.decisions import outcome
from brianbridge.tasks.kinds import Duration, Lasting, Positive
from brianbridge.tasks.preset import KIM2019, KIM2019_PNAS, published
from brianbridge.tasks.sign_task import Rule, SignTask


class SignedGoNoGo(SignTask):
    """Report the sign of a pulse, from its end on.

    Parameters
    ----------
    fixation, cue, response : Quantity or str
        Durations of the epochs, in this order.
    bound, rule, grace
        How the answer is read: see `SignTask`.

    Notes
    -----
    Condition: 'target' (-1 or +1: the pulse).

    Kim & Sejnowski 2019 need no working memory for this task. They do not give the bound; that of their
    delayed match is our choice, as is the length of the response: 1000 ms in all, as in the code of Kim, Li &
    Sejnowski 2019, when trained with a fixation of 250 ms.
    """

    fixation: Duration = "250 ms"
    cue: Lasting = "125 ms"
    response: Lasting = "625 ms"
    bound: Positive = 0.7
    rule: Rule = "any crossing"

    name = "signed_go_nogo"
    order = ("fixation", "cue", "response")
    channels = {"stimulus": ("cue",), "target": ("sign",)}
    presets = {
        "kim2019": published(KIM2019, "Go-NoGo, training", "5 ms"),
        "kim2019_analysis": published(KIM2019, "Go-NoGo, analysis", "5 ms", fixation="1000 ms"),
    }

    @property
    def conditions(self):
        """Table of the two cues."""
        return {"target": np.array([-1, 1])}

    def lay(self, course):
        """One pulse."""
        return {"stimulus": course.held(course.conditions["target"][:, np.newaxis], "cue")}, *self.target(
            course
        )


class GoNoGo(BuiltInTask):
    """Raise the output after a pulse, and leave it at 0 when there was none.

    Parameters
    ----------
    fixation, cue, response : Quantity or str
        Durations of the epochs, in this order.
    bound : float
        'Go' is an output above it at any time of the response.
    rest : float
        'NoGo' is an output that stays within -rest and +rest throughout the response.

    Notes
    -----
    Condition: 'target' (1 go: there was a pulse, 0 no-go). An output that is neither is no answer. A silent
    network has answered NoGo: that is incorrect after a pulse.

    Kim, Li & Sejnowski 2019 (doi:10.1073/pnas.1905926116), as in their code.
    """

    fixation: Duration = "250 ms"
    cue: Lasting = "125 ms"
    response: Lasting = "625 ms"
    bound: Positive = 0.7
    rest: Positive = 0.3

    name = "go_nogo"
    order = ("fixation", "cue", "response")
    channels = {"stimulus": ("cue",), "target": ("go",)}
    presets = {"kim2019_pnas": published(KIM2019_PNAS, "Go-NoGo", "5 ms")}
    answer = "above the bound in the response, or at rest"

    def check(self):
        """Refuse bounds of which one answer could be both."""
        if self.rest > self.bound:
            raise ValueError(f"rest={self.rest} must not be above bound={self.bound}")

    @property
    def conditions(self):
        """Table of pulse and none."""
        return crossed(target=[0, 1])

    def lay(self, course):
        """A pulse or nothing."""
        go = course.conditions["target"][:, np.newaxis]
        targets = course.held(go, "response")
        return {"stimulus": course.held(go, "cue")}, targets, np.ones_like(targets)

    def judge(self, output, trials):
        """Compare the largest output of the response with both bounds."""
        response = np.where(trials.during("response"), output[:, :, 0], 0.0)
        went, rested = response.max(axis=0) > self.bound, np.abs(response).max(axis=0) < self.rest
        choice = np.where(went, 1, np.where(rested, 0, -1))
        wanted = np.where(trials.during("response"), trials.targets[:, :, 0], 0.0).max(axis=0).astype(int)
        return outcome(choice, wanted, none=-1)
