"""What a time step does to a network: cause by cause, made at a finer step as it was at a coarser one."""

import ast
from dataclasses import replace

import numpy as np
from brian2 import second
from brian2.equations.equations import DIFFERENTIAL_EQUATION, parse_string_equations
from brian2.units.fundamentalunits import get_dimensions

from brianbridge.checks.finding import NotApplicable
from brianbridge.checks.integrators import method_of
from brianbridge.checks.thresholds import crossing
from brianbridge.model.equation_text import has_differential_equations

__all__ = ["CAUSES", "with_causes"]

#: In the order in which they are added.
CAUSES = ("+ refractory period", "+ delay", "+ threshold", "+ decay")

OVERSHOOT = 0.5826  # -zeta(1/2)/sqrt(2*pi): a threshold that is watched at times only (Broadie et al. 1997)
EULER = {"euler", "milstein", "heun"}  # the deterministic part of their step is Euler's
SECOND = get_dimensions(second)


def with_causes(model, causes, coarse, fine):
    """A model that at the fine step has what it had at the coarse one.

    Parameters
    ----------
    model : Model
    causes : sequence of str
        From `CAUSES`: one coarse step of refractory period, for groups without one; spikes that arrive one
        coarse step later; a threshold raised for the paths that cross it between two coarse steps and come
        back, where a group spikes by ``variable > expression`` and that variable has noise; time constants
        tau' = -dt/log(1 - dt/tau), which decay exactly as tau does in Euler's coarse steps, in groups that
        are integrated by such steps.
    coarse, fine : float
        Time steps in seconds.

    Returns
    -------
    Model
        The very same one if nothing in it had to be changed.
    """
    changes = dict(zip(CAUSES, (_refractory, _delay, _threshold, _decay)))
    for cause in causes:
        groups = tuple(changes[cause](model, group, coarse, fine) for group in model.groups)
        if any(group is not before for group, before in zip(groups, model.groups)):
            model = replace(model, groups=groups)
    return model


def _refractory(model, group, coarse, fine):
    if group.name not in model.spiking or group.refractory:
        return group
    return replace(group, refractory=coarse)


def _delay(model, group, coarse, fine):
    if not getattr(group, "pathways", ()):
        return group
    pathways = tuple(replace(pathway, delay=pathway.delay + coarse - fine) for pathway in group.pathways)
    return replace(group, pathways=pathways)


def _threshold(model, group, coarse, fine):
    """Raise ``v > theta`` where noise is added to v."""
    events = dict(getattr(group, "events", {}))
    variable, threshold = crossing(events.get("spike", "")) or ("", "")
    equation = parse_string_equations(group.equations).get(variable)
    if equation is None or equation.type != DIFFERENTIAL_EQUATION:
        return group
    _, noise = equation.expr.split_stochastic()
    if not noise:
        return group
    power = " + ".join(f"({coefficient.code})**2" for coefficient in noise.values())
    raised = f"{OVERSHOOT}*sqrt({power})*{float(np.sqrt(coarse) - np.sqrt(fine))!r}*second**0.5"
    events["spike"] = f"{variable} > ({threshold}) + {raised}"
    return replace(group, events=events)


def _decay(model, group, coarse, fine):
    """Time constants that are parameters or constants of the equations and longer than the coarse step."""
    equations = parse_string_equations(group.equations)
    if not _is_by_euler(model, group):
        return group
    divisors = set().union(*(_divisors(eq.expr.code) for eq in equations.values() if eq.expr is not None))

    def matched(tau):
        return np.where(tau > coarse, -coarse / np.log1p(-coarse / np.maximum(tau, coarse * (1 + 1e-9))), tau)

    values = {
        name: matched(group.values[name])
        for name in divisors & set(equations) & set(group.values)
        if equations[name].dim is SECOND and np.any(group.values[name] > coarse)
    }
    constants = {
        name: replace(constant, value=float(matched(constant.value)))
        for name, constant in group.constants.items()
        if name in divisors and constant.dimensions is SECOND and constant.value > coarse
    }
    if not values and not constants:
        return group
    return replace(group, values={**group.values, **values}, constants={**group.constants, **constants})


def _is_by_euler(model, group):
    """Whether the deterministic part of a step is one of Euler's: other methods decay otherwise."""
    if not has_differential_equations(group.equations):
        return False
    try:
        return method_of(model, group.name) in EULER
    except NotApplicable:
        return False


def _divisors(expression):
    """Names by which something is divided: a and b in ``x/(2*a) + y/b``."""
    found = set()
    for node in ast.walk(ast.parse(expression.strip(), mode="eval")):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            factors = [node.right]
            for factor in factors:
                if isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Mult):
                    factors += [factor.left, factor.right]
            found |= {factor.id for factor in factors if isinstance(factor, ast.Name)}
    return found
