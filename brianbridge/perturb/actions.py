"""What can be done to a network while a task goes on."""

from dataclasses import replace

import numpy as np
from brian2.equations.equations import DIFFERENTIAL_EQUATION, SUBEXPRESSION, parse_string_equations
from brian2.units.fundamentalunits import DIMENSIONLESS, fail_for_dimension_mismatch, have_same_dimensions

from brianbridge.model.groups import Neurons, SpikeTimes
from brianbridge.perturb import rewriting
from brianbridge.perturb.perturbation import of_group
from brianbridge.perturb.selection import smallest

__all__ = [
    "clamp",
    "inject",
    "lesion",
    "noise",
    "prune",
    "scale",
    "shuffle",
    "silence",
]


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

    return of_group(f"clamp {group}.{variable} at {value}", group, where, during, change, state=True)


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
    number = _number(number, f"{variable}={number}")

    def change(model, chosen):
        model = _with_parameter(model, group, variable)
        return model, variable, number * model[group].values[variable]

    return of_group(f"{group}.{variable} times {number:g}", group, where, during, change)


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

    return of_group(f"shuffle {group}.{parameter}", group, where, during, change)


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

    return of_group(f"inject {value} into {group}.{variable}", group, where, during, change)


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
    group, factor = _name(group), _number(factor, f"factor={factor}")

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

    return of_group(f"noise of {group} times {factor:g}", group, where, during, change)


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

    return of_group(f"lesion {group}", group, where, during, change)


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


# -- reading what was given ---------------------------------------------------------------------------


def _name(group):
    return group if isinstance(group, str) else group.name


def _one(given, example):
    if len(given) != 1:
        raise TypeError(
            f"Name one variable and its value, as in {example}; given were {', '.join(given) or 'none'}."
        )
    return next(iter(given.items()))


def _number(factor, text):
    """A factor, which has no unit."""
    if not have_same_dimensions(factor, 1):
        raise ValueError(f"{text} has a unit; a factor is a plain number, such as 0.5.")
    return float(factor)


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
