"""What can be done to a network while a task goes on."""

from dataclasses import dataclass, replace

import numpy as np
from brian2.equations.equations import DIFFERENTIAL_EQUATION, SUBEXPRESSION, parse_string_equations
from brian2.units.fundamentalunits import DIMENSIONLESS, fail_for_dimension_mismatch

from brianbridge.model.groups import Neurons, SpikeTimes
from brianbridge.perturb import rewriting
from brianbridge.perturb.selection import Selection, everything, smallest
from brianbridge.tasks.spelling import did_you_mean

__all__ = [
    "Perturbation",
    "clamp",
    "inject",
    "lesion",
    "noise",
    "prune",
    "scale",
    "shuffle",
    "silence",
    "switch_context",
]


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
class _OfGroup(Perturbation):
    """One variable of some elements of one group is held at other values.

    `change` takes the model and the mask of the chosen elements, and returns a model that has the variable,
    its name, and its values meanwhile.
    """

    group: str
    change: object
    state: bool = False

    def applied(self, model, inputs, trials):
        _check_group(model, self.group)
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


def _of_group(text, group, where, during, change, state=False):
    return _OfGroup(
        text=text,
        where=where or everything(),
        during=_epochs(during),
        group=group,
        change=change,
        state=state,
    )


def clamp(group, where=None, during=None, **state):
    """Hold a state variable at a value, from the beginning of the epoch to its end; then it is released.

    Parameters
    ----------
    group : str or NeuronGroup
    where : Selection, optional
        Default: all neurons.
    during : str or sequence of str, optional
        Epochs; default is the whole trial.
    **state
        The variable and its value: ``v=-100*mV``.

    Returns
    -------
    Perturbation

    Notes
    -----
    The value is set at the beginning of every step, before thresholds are compared, and at the end of the
    step: what reads the variable reads this value, also while the neuron is refractory, and no spike comes of
    a value below the threshold.

    Examples
    --------
    Figure 4 of Li, Kim & Sejnowski (2020)::

        bb.perturb.clamp("cells", v=-100*mV, where=bb.perturb.above_median("tau_m"), during="sample")
    """
    group, (variable, value) = _name(group), _one(state, "clamp(group, v=-100*mV)")

    def change(model, chosen):
        _check_kind(
            model, group, variable, DIFFERENTIAL_EQUATION, "clamp", "a state with an equation of its own"
        )
        _check_unit(model, group, variable, value)
        return model, variable, np.full(chosen.shape, float(value))

    return _of_group(f"clamp {group}.{variable} at {value}", group, where, during, change, state=True)


def scale(group, where=None, during=None, **factor):
    """Multiply a parameter, such as the weights of synapses.

    Parameters
    ----------
    group : str, NeuronGroup or Synapses
    where, during
        See `clamp`.
    **factor
        The parameter, or constant of the equations, and the factor: ``w=0.5``.

    Returns
    -------
    Perturbation
    """
    group, (variable, number) = _name(group), _one(factor, "scale(group, w=0.5)")

    def change(model, chosen):
        model = _with_parameter(model, group, variable)
        return model, variable, number * model[group].values[variable]

    return _of_group(f"{group}.{variable} times {number:g}", group, where, during, change)


def silence(synapses, where=None, during=None, weight="w"):
    """Set weights to zero. What has been transmitted already goes on to decay.

    Parameters
    ----------
    synapses : str or Synapses
    where, during
        See `clamp`.
    weight : str
        Name of the weights.

    Returns
    -------
    Perturbation
    """
    silenced = scale(synapses, where, during, **{weight: 0})
    return replace(silenced, text=f"silence {silenced.group}")


def prune(synapses, fraction, during=None, weight="w"):
    """Set the weights of smallest magnitude to zero.

    Parameters
    ----------
    synapses : str or Synapses
    fraction : float
        Of the synapses.
    during : str or sequence of str, optional
        Epochs; default is the whole trial.
    weight : str
        Name of the weights.

    Returns
    -------
    Perturbation
    """
    pruned = silence(synapses, smallest(weight, fraction), during, weight)
    return replace(pruned, text=f"prune {pruned.group}")


def shuffle(group, parameter, where=None, during=None, seed=0):
    """Give the values of a parameter to other elements among the chosen ones, at random.

    Parameters
    ----------
    group : str, NeuronGroup or Synapses
    parameter : str
    where, during
        See `clamp`.
    seed : int

    Returns
    -------
    Perturbation
    """
    group = _name(group)

    def change(model, chosen):
        model = _with_parameter(model, group, parameter)
        values = np.array(model[group].values[parameter])
        values[chosen] = np.random.default_rng(seed).permutation(values[chosen])
        return model, parameter, values

    return _of_group(f"shuffle {group}.{parameter}", group, where, during, change)


def inject(group, where=None, during=None, **current):
    """Add a constant to a current, or to any other variable that the differential equations read.

    Parameters
    ----------
    group : str or NeuronGroup
    where, during
        See `clamp`.
    **current
        A parameter or subexpression of the equations, and what is added: ``I=50*pA``.

    Returns
    -------
    Perturbation

    Notes
    -----
    Whoever reads ``I`` in the group's equations reads ``I + 50*pA``; what is recorded as ``I`` is without it.
    """
    group, (variable, value) = _name(group), _one(current, "inject(group, I=50*pA)")
    added = f"{variable}_injected"

    def change(model, chosen):
        known = parse_string_equations(_neurons(model, group, "inject").equations)
        if variable not in known or known[variable].type == DIFFERENTIAL_EQUATION:
            raise ValueError(
                f"inject adds to a current that the equations of {group} read; {variable!r} is none of "
                f"{', '.join(n for n, e in known.items() if e.type != DIFFERENTIAL_EQUATION) or 'none'}."
            )
        _check_unit(model, group, variable, value)
        if added not in known:
            equations = rewriting.reads_replaced(model[group].equations, variable, f"({variable} + {added})")
            model = model.with_group(replace(model[group], equations=equations))
            model = rewriting.with_parameter(model, group, added, known[variable].dim, 0.0)
        return model, added, model[group].values[added] + float(value)

    return _of_group(f"inject {value} into {group}.{variable}", group, where, during, change)


def noise(group, factor, where=None, during=None):
    """Multiply the noise ``xi`` of the equations.

    Parameters
    ----------
    group : str or NeuronGroup
    factor : float
        2 for twice the standard deviation.
    where, during
        See `clamp`.

    Returns
    -------
    Perturbation
    """
    group = _name(group)

    def change(model, chosen):
        equations = model[group].equations
        sources = {
            name for e in parse_string_equations(equations).values() for name in e.stochastic_variables
        }
        if not sources:
            raise ValueError(
                f"The equations of {group} have no noise xi. Noise that depends on a parameter is "
                "changed by scale('cells', sigma=2); that of the inputs by other trials."
            )
        if "noise_factor" not in parse_string_equations(equations):
            for name in sorted(sources):
                equations = rewriting.reads_replaced(equations, name, f"(noise_factor*{name})")
            model = model.with_group(replace(model[group], equations=equations))
            model = rewriting.with_parameter(model, group, "noise_factor", DIMENSIONLESS, 1.0)
        return model, "noise_factor", factor * model[group].values["noise_factor"]

    return _of_group(f"noise of {group} times {factor:g}", group, where, during, change)


def lesion(group, where=None, during=None):
    """Take neurons out: they do not spike, and synapses that read their variables read zero.

    Parameters
    ----------
    group : str or NeuronGroup
    where, during
        See `clamp`.

    Returns
    -------
    Perturbation
    """
    group = _name(group)

    def change(model, chosen):
        if "intact" not in _neurons(model, group, "lesion").values:
            model = _with_lesions(model, group)
        return model, "intact", np.zeros(chosen.shape)

    return _of_group(f"lesion {group}", group, where, during, change)


def _with_lesions(model, name):
    """A model in which neurons act on others only as long as they are intact."""
    for other in model.groups:
        if any(link.group == name for link in other.links.values()):
            raise ValueError(
                f"{other.name} reads {name} through a linked variable, which a lesion cannot cut."
            )
        if hasattr(other, "i") and other.source[0] == name:
            read = {f"{variable}_pre" for variable in parse_string_equations(model[name].equations)}
            equations = other.equations
            for variable in sorted(read):
                equations = rewriting.reads_replaced(equations, variable, f"(intact_pre*{variable})")
            model = model.with_group(replace(other, equations=equations))
    events = {event: f"({condition}) and intact > 0.5" for event, condition in model[name].events.items()}
    model = model.with_group(replace(model[name], events=events))
    return rewriting.with_parameter(model, name, "intact", DIMENSIONLESS, 1.0)


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
        during=_epochs(during),
        where=everything(),
        source=source,
        channels=tuple(channels or ()),
    )


# -- reading what was given ---------------------------------------------------------------------------


def _name(group):
    return group if isinstance(group, str) else group.name


def _epochs(during):
    return during if during is None or isinstance(during, str) else tuple(during)


def _one(given, example):
    if len(given) != 1:
        raise TypeError(
            f"Name one variable and its value, as in {example}; given were {', '.join(given) or 'none'}."
        )
    return next(iter(given.items()))


def _check_group(model, name):
    names = [group.name for group in model.groups]
    if name not in names:
        raise ValueError(f"The network has no group {name!r}; {did_you_mean(name, names)}")


def _neurons(model, name, action):
    group = model[name]
    if not isinstance(group, Neurons) or isinstance(group, SpikeTimes):
        raise ValueError(f"{action} is for groups of neurons, and {name} is none.")
    return group


def _check_kind(model, group, variable, kind, action, wanted):
    known = parse_string_equations(model[group].equations)
    if variable not in known or known[variable].type != kind:
        names = [name for name, equation in known.items() if equation.type == kind]
        raise ValueError(
            f"{action} needs {wanted}, and {group}.{variable} is none; {group} has "
            f"{', '.join(names) or 'none'}."
        )


def _check_unit(model, group, variable, value):
    fail_for_dimension_mismatch(
        value, model.dimensions((group, variable)), f"{value} is not in the unit of {group}.{variable}"
    )


def _with_parameter(model, group, variable):
    """A model in which every element has its own value of a parameter or constant."""
    model = rewriting.as_parameter(model, group, variable)
    known = rewriting.parameters_of(model[group])
    if variable not in known:
        equation = parse_string_equations(model[group].equations).get(variable)
        reason = "is no parameter"
        if equation is not None:
            reason = "is computed from others" if equation.type == SUBEXPRESSION else "is a state: clamp it"
        names = ", ".join([*known, *model[group].constants]) or "none"
        raise ValueError(f"{group}.{variable} {reason}; the parameters and constants of {group} are {names}.")
    return model
