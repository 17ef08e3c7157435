"""Which spike gradient belongs to which threshold."""

import ast

from brian2.parsing.expressions import parse_expression_dimensions
from brian2.units.fundamentalunits import get_unit
from brian2.utils.stringtools import get_identifiers

from brianbridge.model.groups import Neurons
from brianbridge.model.naming import variable_name
from brianbridge.surrogate.spike_gradients import SpikeGradient

__all__ = ["spike_gradients_of"]


def spike_gradients_of(model, live, given):
    """One spike gradient for every group with events, checked against the unit of its threshold.

    Parameters
    ----------
    model : Model
    live : Live
    given : SpikeGradient, dict or None
        One for all, or a group (object or name) to its own.

    Returns
    -------
    dict of str to SpikeGradient or None

    Raises
    ------
    ValueError
        If a width has another unit than what the threshold compares.
    """
    spiking = [group for group in model.groups if isinstance(group, Neurons) and group.events]
    if given is None or isinstance(given, SpikeGradient):
        chosen = {group.name: given for group in spiking}
    else:
        chosen = {group.name: None for group in spiking}
        for key, gradient in given.items():
            chosen[variable_name(key, model)[0]] = gradient
    for group in spiking:
        gradient = chosen[group.name]
        dimensions = _threshold_dimensions(live[group.name])
        if gradient is not None and dimensions is not None and gradient.dimensions != dimensions:
            raise ValueError(
                f"The threshold {group.events['spike']!r} of {group.name} compares values in "
                f"{get_unit(dimensions)!r}, but {gradient!r} is in {get_unit(gradient.dimensions)!r}. Give "
                "the width in the unit of the threshold, or one spike gradient for each group: "
                f"spike_gradient={{'{group.name}': ...}}."
            )
    return chosen


def _threshold_dimensions(group):
    """Physical dimensions of what the threshold condition compares, None if it compares nothing."""
    condition = group.events.get("spike")
    if condition is None:
        return None
    variables = group.resolve_all(get_identifiers(condition), {}, user_identifiers=set())
    for node in ast.walk(ast.parse(condition.strip(), mode="eval")):
        if isinstance(node, ast.Compare):
            return parse_expression_dimensions(ast.unparse(node.left), variables)
    return None
