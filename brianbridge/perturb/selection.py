"""Which neurons or synapses: by a parameter, by sign, by selectivity, by number."""

from dataclasses import dataclass

import numpy as np

from brianbridge.analysis import d_prime
from brianbridge.model.constraints import Dale

__all__ = [
    "Selection",
    "Selectivity",
    "above_median",
    "above_quantile",
    "below_median",
    "below_quantile",
    "everything",
    "excitatory",
    "from_neurons",
    "indices",
    "inhibitory",
    "onto_neurons",
    "selectivity",
    "smallest",
]


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """Some elements of a group; ``&``, ``|`` and ``~`` combine selections.

    Attributes
    ----------
    text : str
        What figures and tables call it.
    find : callable
        ``find(model, group, activity)`` returns a bool array (n,): `activity` is a simulation of the
        unperturbed network, or None.
    needs_activity : bool
        Whether it cannot do without.
    """

    text: str
    find: object
    needs_activity: bool = False

    def __repr__(self):
        return f"<Selection: {self.text}>"

    def mask(self, model, group, activity=None):
        """The chosen elements.

        Parameters
        ----------
        model : Model
        group : str
            Neurons or synapses.
        activity : SimulatedTrials, optional
            The unperturbed network, for selections by selectivity.

        Returns
        -------
        bool array (n,)

        Raises
        ------
        ValueError
            If the group has no such parameter or sign, or nothing is chosen.
        """
        if self.needs_activity and activity is None:
            raise ValueError(
                f"'{self.text}' is known from simulated trials only: use bb.perturb.outcomes, which "
                "simulates the unperturbed network first, or perturbation.resolved(model, simulated)."
            )
        mask = self.find(model, group, activity)
        if not mask.any():
            raise ValueError(f"No element of {group} is chosen by '{self.text}'.")
        return mask

    def __and__(self, other):
        return _combined(self, other, "and", np.logical_and)

    def __or__(self, other):
        return _combined(self, other, "or", np.logical_or)

    def __invert__(self):
        return Selection(
            f"not {self.text}", lambda *given: ~self.find(*given), needs_activity=self.needs_activity
        )


def _combined(first, second, word, operation):
    return Selection(
        f"{first.text} {word} {second.text}",
        lambda *given: operation(first.find(*given), second.find(*given)),
        first.needs_activity or second.needs_activity,
    )


@dataclass(frozen=True)
class Selectivity:
    """How well a neuron's spike count tells two conditions apart, see `selectivity`."""

    condition: str
    during: str
    values: tuple = ()

    def __str__(self):
        return f"d′ of {self.condition} in {self.during}"

    def of(self, group, activity):
        """d′ of every neuron of a group, array (n,)."""
        if group not in activity.spikes:
            raise ValueError(f"{group} has no spikes, from which a selectivity could be counted.")
        trials = activity.trials
        if self.condition not in trials.conditions:
            known = ", ".join(trials.conditions) or "none"
            raise ValueError(f"The trials have no condition {self.condition!r}; they have {known}.")
        labels = trials.conditions[self.condition]
        values = self.values or tuple(np.unique(labels))
        if len(values) != 2:
            raise ValueError(
                f"{self.condition!r} has {len(values)} values, {', '.join(map(str, values))}: say which "
                f"two, bb.perturb.selectivity({self.condition!r}, {self.during!r}, values=(..., ...))."
            )
        asked = np.isin(labels, values)
        counts = _counts(activity, group, self.during)
        return d_prime(counts[asked], (labels[asked] == max(values)).astype(int))


def _counts(activity, group, during):
    """Spikes of every neuron in an epoch of every trial, (trials, n)."""
    spikes = activity.spikes[group]
    trial, neuron, step = (spikes[name].values for name in ("trial", "neuron", "step"))
    times = np.asarray(activity.trials.times(during))
    start, stop = np.rint(times.T / activity.dt).astype(int)
    inside = (step >= start[trial]) & (step < stop[trial])
    counts = np.zeros((len(activity.trials), activity.sizes[group]))
    np.add.at(counts, (trial[inside], neuron[inside]), 1)
    return counts


def selectivity(condition, during, values=()):
    """Selectivity of neurons, to be given to `above_quantile` and the like.

    Parameters
    ----------
    condition : str
        Condition of the trials with two values, such as ``'target'``.
    during : str
        The epoch in which spikes are counted.
    values : tuple, optional
        The two values, where the condition has more. d′ is positive for neurons that prefer the larger one.

    Returns
    -------
    Selectivity
        d′ as in Song, Yang & Wang (2016), from trials of the unperturbed network.
    """
    return Selectivity(condition, during, tuple(values))


# -- by a parameter -----------------------------------------------------------------------------------


def below_quantile(values, q):
    """Elements whose value is below a quantile over the group.

    Parameters
    ----------
    values : str, Selectivity or array (n,)
        A parameter such as ``'tau_m'``, the `selectivity`, or values of one's own.
    q : float
        Between 0 and 1.

    Returns
    -------
    Selection
    """
    return _quantile(values, q, "below", np.less)


def above_quantile(values, q):
    """Elements whose value is at or above a quantile over the group, see `below_quantile`."""
    return _quantile(values, q, "above", np.greater_equal)


def below_median(values):
    """Elements whose value is below the median of the group, see `below_quantile`."""
    return below_quantile(values, 0.5)


def above_median(values):
    """Elements whose value is at or above the median of the group, see `below_quantile`."""
    return above_quantile(values, 0.5)


def smallest(parameter, fraction):
    """A fraction of the elements, those whose parameter has the smallest magnitude.

    Parameters
    ----------
    parameter : str
    fraction : float

    Returns
    -------
    Selection
    """
    _check_share("fraction", fraction)

    def find(model, group, activity):
        order = np.argsort(np.abs(_values(parameter, model, group, activity)), kind="stable")
        mask = np.zeros(len(order), dtype=bool)
        mask[order[: round(fraction * len(order))]] = True
        return mask

    return Selection(f"the smallest {fraction:.0%} of |{parameter}|", find)


def _quantile(values, q, word, compare):
    _check_share("q", q)

    def find(model, group, activity):
        found = _values(values, model, group, activity)
        return compare(found, np.quantile(found, q))

    name = "the given values" if isinstance(values, np.ndarray | list | tuple) else str(values)
    place = "median" if q == 0.5 else f"{q:.0%} quantile"
    return Selection(f"{name} {word} the {place}", find, isinstance(values, Selectivity))


def _check_share(name, value):
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value}: expected a number between 0 and 1.")


def _values(values, model, group, activity):
    if isinstance(values, Selectivity):
        return values.of(group, activity)
    if isinstance(values, str):
        known = model[group].values
        if values not in known:
            raise ValueError(f"{group} has no parameter {values!r}; it has {', '.join(known) or 'none'}.")
        return np.broadcast_to(known[values], (model[group].n,))
    values = np.asarray(values, dtype=float)
    if values.shape != (model[group].n,):
        raise ValueError(
            f"{group} has {model[group].n} elements, but values of shape {values.shape} were given."
        )
    return values


# -- by sign and number -------------------------------------------------------------------------------


def everything():
    """All elements."""
    return Selection("all", lambda model, group, _: np.ones(model[group].n, dtype=bool))


def excitatory():
    """Neurons with positive outgoing weights, or synapses of such neurons.

    The sign is that of the weights under Dale's law, or else of the synapses of a group with itself.
    """
    return Selection("excitatory", lambda model, group, _: _signs(model, group) > 0)


def inhibitory():
    """Neurons with negative outgoing weights, or synapses of such neurons, see `excitatory`."""
    return Selection("inhibitory", lambda model, group, _: _signs(model, group) < 0)


def indices(numbers):
    """Elements by their numbers, counted from 0.

    Parameters
    ----------
    numbers : int, slice or sequence of int

    Returns
    -------
    Selection
    """

    def find(model, group, _):
        mask = np.zeros(model[group].n, dtype=bool)
        try:
            mask[numbers if isinstance(numbers, slice) else np.asarray(numbers)] = True
        except IndexError:
            raise ValueError(f"{group} has {model[group].n} elements; not all of {numbers} exist.") from None
        return mask

    return Selection(f"numbers {numbers}", find)


def from_neurons(neurons):
    """Synapses whose presynaptic neuron is chosen.

    Parameters
    ----------
    neurons : Selection

    Returns
    -------
    Selection
    """
    return _by_end(neurons, "source", "i", "from")


def onto_neurons(neurons):
    """Synapses whose postsynaptic neuron is chosen, see `from_neurons`."""
    return _by_end(neurons, "target", "j", "onto")


def _by_end(neurons, end, index, word):
    def find(model, group, activity):
        synapses = _projection(model, group)
        owner, start, _ = getattr(synapses, end)
        return neurons.find(model, owner, activity)[getattr(synapses, index) + (start or 0)]

    return Selection(f"{word} neurons with {neurons.text}", find, neurons.needs_activity)


def _projection(model, name):
    if not hasattr(model[name], "i"):
        raise ValueError(f"{name} is a group of neurons, not of synapses.")
    return model[name]


def _signs(model, name):
    """1 or -1 for every neuron, or synapse; 0 for neurons without outgoing weights."""
    if hasattr(model[name], "i"):
        owner, start, _ = model[name].source
        return _signs(model, owner)[model[name].i + (start or 0)]
    signs = np.zeros(model[name].n)
    for senders, weights in _outgoing(model, name):
        positive, negative = (
            np.bincount(senders, weights=side, minlength=len(signs)) > 0
            for side in (weights > 0, weights < 0)
        )
        found = positive.astype(float) - negative
        if np.any(positive & negative) or np.any(found * signs < 0):
            raise ValueError(
                f"Neurons of {name} have outgoing weights of both signs: none is excitatory or inhibitory."
            )
        signs = np.where(signs == 0, found, signs)
    if not signs.any():
        raise ValueError(f"{name} has no outgoing weights whose sign could be read.")
    return signs


def _outgoing(model, name):
    """Presynaptic neurons and weights of each projection of a group from which its signs are read."""
    dale = {target for t in model.trainable if isinstance(t.constraint, Dale) for target in t.targets}
    outgoing = [group for group in model.groups if hasattr(group, "i") and group.source[0] == name]
    under_dale = [(g, v) for g in outgoing for v in g.values if (g.name, v) in dale]
    recurrent = [(g, "w") for g in outgoing if g.target[0] == name and "w" in g.values]
    return [(g.i + (g.source[1] or 0), g.values[v]) for g, v in under_dale or recurrent]
