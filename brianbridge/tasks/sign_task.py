"""Tasks that are answered by the sign of one output in a response period."""

from typing import ClassVar

import numpy as np
from brian2.units import Quantity, second

from brianbridge.tasks.arguments import show
from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.decisions import (
    first_crossing,
    outcome,
    sign_of_mean,
    wanted_crossing,
    wanted_sign,
)
from brianbridge.tasks.epochs import count_steps
from brianbridge.tasks.kinds import Duration, Positive, one_of

Rule = one_of("first crossing", "any crossing", "sign of mean")


class SignTask(BuiltInTask):
    """One output, +1 or -1 in the epoch 'response' and 0 elsewhere; every step counts.

    The condition 'target' is the wanted sign.

    Parameters
    ----------
    bound : float
        An answer is an output above +bound or below -bound.
    rule : str
        'first crossing': the bound that is crossed first is the answer, so no trial is both correct and
        incorrect. 'any crossing': the trial is correct if the wanted bound is crossed at any time, incorrect
        if only the other one is. 'sign of mean': the sign of the mean output is the answer.
    grace : Quantity or str
        Answers count from this long after the response began, to the end of the trial.
    """

    bound: Positive = 0.8
    rule: Rule = "first crossing"
    grace: Duration = "0 ms"

    answer: ClassVar[str] = "sign in the response"

    def check(self):
        """Refuse a grace that leaves nothing to judge."""
        later = self.order[self.order.index("response") :]
        rest = sum((getattr(self, name) for name in later), 0 * second)
        if self.grace >= rest:
            raise ValueError(
                f"grace={show(self.grace)} leaves nothing of the {show(rest)} from the response on; "
                f"take less, such as grace={show(rest / 2)}"
            )

    def target(self, course):
        """Lay the target along the course, and a mask of ones."""
        targets = course.held(course.conditions["target"][:, np.newaxis], "response")
        return targets, np.ones_like(targets)

    def judged(self, trials):
        """Mark the steps in which answers count, bool array (time, batch)."""
        first = trials.epochs["response"][:, 0] + count_steps(
            "grace", self.grace, Quantity(trials.dt) * second
        )
        return np.arange(trials.steps)[:, np.newaxis] >= first

    def judge(self, output, trials):
        """Read the sign of the output by the rule."""
        window, output = self.judged(trials), output[:, :, 0]
        wanted = wanted_sign(trials.targets[:, :, 0], window)
        if self.rule == "first crossing":
            return outcome(first_crossing(output, window, self.bound), wanted)
        if self.rule == "any crossing":
            return outcome(wanted_crossing(output, window, self.bound, wanted), wanted)
        return outcome(sign_of_mean(output, window), wanted)
