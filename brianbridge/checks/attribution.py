"""What a time step does to a network: cause by cause, made at a finer step as it was at a coarser one."""

import re
from dataclasses import replace

import numpy as np
from brian2 import second
from brian2.equations.equations import DIFFERENTIAL_EQUATION, parse_string_equations
from brian2.units.fundamentalunits import get_dimensions

__all__ = ["CAUSES", "with_causes"]

#: In the order in which they are added.
CAUSES = ("+ refractory period", "+ delay", "+ threshold", "+ decay")

OVERSHOOT = 0.5826  # -zeta(1/2)/sqrt(2*pi): a threshold that is watched at times only (Broadie et al. 1997)
SECOND = get_dimensions(second)


def with_causes(model, causes, coarse, fine):
    """A model that at the fine step has what it had at the coarse one.

    Parameters
    ----------
    model : Model
    causes : sequence of str
        From `CAUSES`: one coarse step of refractory period; spikes that arrive one coarse step later; a
        threshold raised for the paths that cross it between two coarse steps and come back, under noise; time
        constants tau' = -dt/log(1 - dt/tau), which decay exactly as tau does in Euler's coarse steps.
    coarse, fine : float
        Time steps in seconds.

    Returns
    -------
    Model
    """
    changes = dict(zip(CAUSES, (_refractory, _delay, _threshold, _decay)))
    for cause in causes:
        groups = tuple(changes[cause](group, coarse, fine) for group in model.groups)
        model = replace(model, groups=groups)
    return model


def _refractory(group, coarse, fine):
    if "spike" not in getattr(group, "events", {}) or group.refractory is not False:
        return group
    return replace(group, refractory=coarse)


def _delay(group, coarse, fine):
    if not hasattr(group, "pathways"):
        return group
    pathways = tuple(replace(pathway, delay=pathway.delay + coarse - fine) for pathway in group.pathways)
    return replace(group, pathways=pathways)


def _threshold(group, coarse, fine):
    """Raise ``v > theta`` where noise is added to v."""
    events = dict(getattr(group, "events", {}))
    found = re.fullmatch(r"\s*(\w+)\s*>=?\s*(.+)", events.get("spike", ""))
    equations = parse_string_equations(group.equations)
    if not found or found.group(1) not in equations:
        return group
    equation = equations[found.group(1)]
    if equation.type != DIFFERENTIAL_EQUATION:
        return group
    _, noise = equation.expr.split_stochastic()
    if not noise:
        return group
    power = " + ".join(f"({coefficient.code})**2" for coefficient in noise.values())
    raised = f"{OVERSHOOT}*sqrt({power})*{float(np.sqrt(coarse) - np.sqrt(fine))!r}*second**0.5"
    events["spike"] = f"{found.group(1)} > ({found.group(2)}) + {raised}"
    return replace(group, events=events)


def _decay(group, coarse, fine):
    """Time constants that are parameters or constants of the equations and longer than the coarse step."""
    divisors = set(re.findall(r"/\s*\(?\s*(tau\w*)", group.equations))
    equations = parse_string_equations(group.equations)

    def matched(tau):
        return np.where(tau > coarse, -coarse / np.log1p(-coarse / np.maximum(tau, coarse * (1 + 1e-9))), tau)

    values = {
        name: matched(value) if name in divisors and equations[name].dim is SECOND else value
        for name, value in group.values.items()
    }
    constants = {
        name: replace(constant, value=float(matched(constant.value)))
        if name in divisors and constant.dimensions is SECOND
        else constant
        for name, constant in group.constants.items()
    }
    return replace(group, values=values, constants=constants)
