"""A switch of the context on the way."""

from dataclasses import dataclass, replace

import numpy as np

from brianbridge.perturb.perturbation import Perturbation, epochs_of
from brianbridge.perturb.selection import everything
from brianbridge.spelling import did_you_mean

__all__ = ["switch_context"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class _ContextSwitch(Perturbation):
    source: str
    channels: tuple

    def shown(self, trials):
        if self.source not in trials.inputs:
            raise ValueError(
                f"The trials have no input {self.source!r}; {did_you_mean(self.source, trials.inputs)}"
            )
        channels = self.channels or self._context(trials)
        values = trials.inputs[self.source].copy()
        window = self.windows(trials)[:, :, np.newaxis]
        for channel, other in zip(channels, (*channels[1:], channels[0])):
            values[..., [channel]] = np.where(
                window, trials.inputs[self.source][..., [other]], values[..., [channel]]
            )
        return replace(trials, inputs={**trials.inputs, self.source: values})

    def judges_anew(self, task):
        return hasattr(task, "in_other_context")

    def judged(self, task, trials):
        if not self.judges_anew(task):
            return trials
        other = task.in_other_context(trials)
        window = self.windows(trials)[:, :, np.newaxis]
        return replace(other, targets=np.where(window, other.targets, trials.targets))

    def windows(self, trials):
        """From the beginning of the epoch to the end of the trial."""
        return np.logical_or.accumulate(super().windows(trials), axis=0)

    def _context(self, trials):
        labels = trials.channels.get(self.source, ())
        found = tuple(k for k, label in enumerate(labels) if label.startswith("context"))
        if len(found) < 2:
            raise ValueError(
                f"No two channels of the input {self.source!r} are called context: say which ones are "
                "exchanged, bb.perturb.switch_context(during=..., channels=(2, 3))."
            )
        return found


def switch_context(during, source="stimulus", channels=None):
    """Exchange the channels that show the context, from the beginning of an epoch on (Lin et al. 2024).

    Parameters
    ----------
    during : str
        The epoch at whose beginning the context switches.
    source : str
        Name of the task's input.
    channels : sequence of int, optional
        The channels that are exchanged; default are those called context.

    Returns
    -------
    Perturbation
        Decisions are judged by the new context, if the task has a method ``in_other_context(trials)``, as the
        built-in ones with a context have: a network that follows the switch is correct. `outcomes` judges
        them by the old one, too. Without that method, the old context is the only one that is known.
    """
    return _ContextSwitch(
        text="switch the context",
        during=epochs_of(during),
        where=everything(),
        source=source,
        channels=tuple(channels or ()),
    )
