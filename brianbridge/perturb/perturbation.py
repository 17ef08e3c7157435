"""What every perturbation has: its name, its epochs, and what it makes of a model and of the inputs."""

from dataclasses import dataclass, replace

import numpy as np

from brianbridge.perturb import rewriting
from brianbridge.perturb.selection import Selection, everything
from brianbridge.spelling import did_you_mean

__all__ = ["OfGroup", "Perturbation", "check_group", "epochs_of", "of_group"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Perturbation:
    """What is done to which part of a network, and during which epoch; made by `clamp` and its siblings.

    Attributes
    ----------
    text : str
        What tables and figures call it.
    during : str, tuple of str or None
        Epochs of the task; None for the whole trial.
    where : Selection
    """

    text: str
    during: object
    where: Selection

    def __repr__(self):
        return f"<Perturbation: {self.label}>"

    @property
    def label(self):
        """The text, with the selection and the epoch."""
        chosen = "" if self.where.text == "all" else f", {self.where.text}"
        during = self.during if isinstance(self.during, str | None) else " and ".join(self.during)
        return f"{self.text}{chosen}{f', during {during}' if during else ''}"

    def again(self, during):
        """The same during another epoch."""
        return replace(self, during=during)

    def shown(self, trials):
        """The trials as they are shown to the network."""
        return trials

    def judges_anew(self, task):
        """Whether other answers are right while it acts."""
        return False

    def judged(self, task, trials):
        """The trials with the answers that are right while it acts.

        Parameters
        ----------
        task : Task or None
        trials : Trials

        Returns
        -------
        Trials
        """
        return trials

    def applied(self, model, inputs, trials):
        """The perturbed network.

        Parameters
        ----------
        model : Model
        inputs : dict of str to ndarray
            Values of the timed inputs in all trials.
        trials : Trials

        Returns
        -------
        model : Model
            With one more timed input that says when, unless it is the whole trial.
        inputs : dict
        """
        return model, inputs

    def resolved(self, model, activity):
        """The same for a selection by selectivity, once the unperturbed network was simulated.

        Parameters
        ----------
        model : Model
        activity : SimulatedTrials

        Returns
        -------
        Perturbation
        """
        return self

    def windows(self, trials):
        """When it acts: bool array (time, trials)."""
        if self.during is None:
            return np.ones((trials.steps, len(trials)), dtype=bool)
        epochs = [self.during] if isinstance(self.during, str) else self.during
        return np.any([trials.during(epoch) for epoch in epochs], axis=0)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OfGroup(Perturbation):
    """One variable of some elements of one group is held at other values.

    `change` takes the model and the mask of the chosen elements, and returns a model that has the variable,
    its name, and its values meanwhile.
    """

    group: str
    change: object
    state: bool = False

    def applied(self, model, inputs, trials):
        check_group(model, self.group)
        chosen = self.where.mask(model, self.group)
        model, variable, values = self.change(model, chosen)
        if self.during is None and not self.state:
            old = model[self.group].values[variable]
            return model.with_values({(self.group, variable): np.where(chosen, values, old)}), inputs
        model, inputs, gate = rewriting.with_gate(model, inputs, self.windows(trials), trials.dt)
        return (
            rewriting.hold(model, self.group, variable, values, chosen, gate, state=self.state),
            inputs,
        )

    def resolved(self, model, activity):
        if not self.where.needs_activity:
            return self
        mask = self.where.mask(model, self.group, activity)
        return replace(self, where=Selection(self.where.text, lambda *_: mask))


def of_group(text, group, where, during, change, state=False):
    """A perturbation of one variable of a group; see `OfGroup`."""
    return OfGroup(
        text=text,
        where=where or everything(),
        during=epochs_of(during),
        group=group,
        change=change,
        state=state,
    )


def epochs_of(during):
    """Epochs as they were named: None, one name, or a tuple of names."""
    return during if during is None or isinstance(during, str) else tuple(during)


def check_group(model, name):
    """Refuse a group that the network does not have."""
    names = [group.name for group in model.groups]
    if name not in names:
        raise ValueError(f"The network has no group {name!r}; {did_you_mean(name, names)}")
