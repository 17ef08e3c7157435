"""One grid of time steps for all clocks of a network."""

import math
from fractions import Fraction

from brian2.groups.group import CodeRunner

from brianbridge.model.refusals import Refusal

__all__ = ["common_step"]


def common_step(live):
    """The longest step of which all time steps of a network are multiples.

    Parameters
    ----------
    live : Live

    Returns
    -------
    dt : float
        In seconds.
    refusals : list of Refusal
        The objects for whose sake it would be tiny.
    """
    clocks = _clocks(live)
    shortest = min(clock.dt_ for clock in clocks.values())
    ratios = {name: Fraction(clock.dt_ / shortest).limit_denominator(20) for name, clock in clocks.items()}
    parts = math.lcm(*(ratio.denominator for ratio in ratios.values()))
    refusals = [
        Refusal(
            name,
            f"its time step of {clock.dt_ * 1e3:g} ms and the network's shortest, {shortest * 1e3:g} ms, are "
            "no multiples of a common step",
            "choose time steps that are multiples of each other",
        )
        for name, clock in clocks.items()
        if parts > 100 or abs(clock.dt_ / shortest - float(ratios[name])) > 1e-9
    ]
    return shortest / parts, refusals


def _clocks(live):
    """Clocks of all groups, and those of operations that have their own."""
    clocks = {name: group.clock for name, group in live.groups.items()}
    runners = [obj for obj in live.network.sorted_objects if isinstance(obj, CodeRunner)]
    return clocks | {obj.name: obj.clock for obj in runners if obj.clock.dt_ != obj.group.clock.dt_}
