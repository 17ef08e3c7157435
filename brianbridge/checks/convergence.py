"""Rung 3: below threshold, errors shrink with the time step as the integrator promises."""

from dataclasses import dataclass, replace

import numpy as np
from brian2 import second
from brian2.equations.equations import DIFFERENTIAL_EQUATION, parse_string_equations

from brianbridge.checks.finding import Finding, NotApplicable, Table, verdict
from brianbridge.checks.integrators import method_of
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.codegen_target import codegen_target
from brianbridge.garbage_collection import spared_from_collection
from brianbridge.model.equation_text import XI, has_differential_equations, rewritten
from brianbridge.model.groups import Neurons
from brianbridge.model.rebuild import rebuild
from brianbridge.report import CaptionedFigure
from brianbridge.report.figures import errors_by_dt

__all__ = ["NOMINAL", "isolated", "measure", "plot"]

#: Order of Brian2's integrators for equations without noise. (The deterministic part of milstein and heun is
#: a step of Euler's.) ``exact`` has no error but rounding.
NOMINAL = {"euler": 1, "exponential_euler": 1, "milstein": 1, "heun": 1, "rk2": 2, "rk4": 4}
EXACT = {"exact", "linear", "independent"}

REFINEMENTS = {
    1: (2, 4, 8, 16),
    2: (1, 2, 4, 8),
    4: (1 / 8, 1 / 4, 1 / 2, 1),
}  # of the training's step, by order
REFERENCE = 64  # by rk4
STEPS = 16  # of the training
ROUNDING = 1e-12  # of a value: errors below are not those of the method
MOST = 200  # neurons of a group


@dataclass(frozen=True)
class MeasuredOrder:
    """One variable.

    Attributes
    ----------
    method : str
    nominal : float
    slope : float
    dts : ndarray
        In ms.
    errors : ndarray
    """

    method: str
    nominal: float
    slope: float
    dts: np.ndarray
    errors: np.ndarray


def measure(context):
    """Regression of the logarithm of the error on that of the time step.

    Each group is taken by itself: without threshold, noise and synapses, in the state in which a trial has
    left it, with its inputs held. Equations and integrator are those of the examined model; the order that
    they should have is that of the integrator of the training. Errors are medians over neurons at the end of
    some steps of the training.
    """
    margin = context.margins["convergence"]
    start = context.simulated(trials=context.few).final[0]
    orders, left_out = {}, []
    examined = {group.name: group for group in context.model.groups}
    for group in context.trained.model.groups:
        if not _has_equations(group):
            continue
        try:
            orders |= _orders(context, examined.get(group.name), start)
        except NotApplicable as why:
            left_out.append(f"{group.name}: {why}")
    if not orders:
        raise NotApplicable("; ".join(left_out) or "no group of neurons has differential equations")
    rows = [
        [name, order.method, order.nominal, order.slope, abs(order.slope - order.nominal) <= margin]
        for name, order in orders.items()
    ]
    return Finding(
        verdict(all(row[-1] for row in rows)),
        value="; ".join(
            f"{name} {slope:.2f} ({method}: {nominal:g})" for name, method, nominal, slope, _ in rows
        ),
        reason="; ".join(left_out),
        data={
            "dt (ms)": {name: order.dts for name, order in orders.items()},
            "errors": {name: order.errors for name, order in orders.items()},
            "slopes": {name: order.slope for name, order in orders.items()},
            "nominal": {name: order.nominal for name, order in orders.items()},
            "neurons": {name: examined[name.partition(".")[0]].n for name in orders},
        },
        tables=[
            Table(
                "Order of convergence below threshold",
                ["variable", "method", "nominal order", "slope", "within the margin"],
                rows,
                f"Regression over four time steps; reference: rk4, {context.training_dt * 1e3 / REFERENCE:g} "
                "ms. Without threshold, noise and synapses.",
            )
        ],
    )


def _has_equations(group):
    return isinstance(group, Neurons) and has_differential_equations(group.equations)


def isolated(group, method):
    """A group without threshold, noise and what other groups do to it."""
    if group.links or group.operations:
        raise NotApplicable("it has linked variables or regular operations")
    text = rewritten(
        group.equations,
        expression=lambda equation: XI.sub("(0*second**-0.5)", equation.expr.code),
        flags=lambda equation: [flag for flag in equation.flags if flag != "unless refractory"],
    )
    return replace(group, equations=text, events={}, codes={}, refractory=False, method=method, initial={})


def _orders(context, group, start):
    """Of the variables of an examined group, by ``'group.variable'``."""
    if group is None or not _has_equations(group):
        raise NotApplicable("the examined model has no differential equations for it")
    nominal_method = method_of(context.trained.model, group.name)
    if nominal_method in EXACT:
        raise NotApplicable(f"method='{nominal_method}' has no error that depends on the time step")
    if nominal_method not in NOMINAL:
        raise NotApplicable(f"no order is known of method='{nominal_method}'")
    alone = isolated(context.trained.model[group.name], nominal_method)
    dependent = step_dependence(replace(context.trained.model, groups=(alone,), trainable=(), monitors=()))
    if dependent:
        raise NotApplicable(f"{dependent}: another time step is another model")
    used = method_of(context.model, group.name)
    names = [
        equation.varname
        for equation in parse_string_equations(group.equations).values()
        if equation.type == DIFFERENTIAL_EQUATION
    ]
    reference = _solve(context, group, "rk4", start, names, REFERENCE)
    nominal = NOMINAL[nominal_method]
    dts = context.training_dt / np.array(REFINEMENTS[nominal])
    solved = [_solve(context, group, used, start, names, context.training_dt / dt) for dt in dts]
    orders = {}
    for name in names:
        scale = np.nanmax(np.abs(reference[name])) or 1.0
        with np.errstate(all="ignore"):
            errors = np.array([np.nanmedian(np.abs(one[name] - reference[name])) / scale for one in solved])
        used_errors = np.isfinite(errors) & (errors > ROUNDING)
        if used_errors.sum() < 3:
            continue  # at rest, or solved exactly
        slope = np.polyfit(np.log(dts[used_errors]), np.log(errors[used_errors]), 1)[0]
        orders[f"{group.name}.{name}"] = MeasuredOrder(used, nominal, float(slope), 1e3 * dts, errors)
    if not orders:
        raise NotApplicable("its variables do not change, or without any error")
    return orders


def _solve(context, group, method, start, names, refinement):
    """Values of the variables after some steps of the training, shape (neurons,)."""
    alone = isolated(group, method)
    values = {
        name: np.asarray(start.get(f"{group.name}.{name}", value)) if value.shape == (group.n,) else value
        for name, value in alone.values.items()
        if name not in ("lastspike", "not_refractory")
    }
    held = {name: _held(context, name) for name in group.inputs.values()}
    model = replace(context.model, groups=(replace(alone, values=values),), trainable=(), monitors=())
    model = model.with_inputs(held).with_dt(context.training_dt / refinement * second)
    with codegen_target("numpy"):
        live = rebuild(model)
        with spared_from_collection(), np.errstate(all="ignore"):
            live.network.run(STEPS * context.training_dt * second, namespace={})
        return {name: np.array(live[group.name].variables[name].get_value())[:MOST] for name in names}


def _held(context, name):
    """One row of an input: the largest of the first trial."""
    rows = context.few.inputs[context.trained.inputs[name]][:, 0] if name in context.trained.inputs else None
    if rows is None:
        return context.model.input(name).values[:1]
    return rows[[np.argmax(np.abs(rows).sum(axis=1))]]


def _numbers(neurons):
    groups = {name.partition(".")[0]: n for name, n in neurons.items()}
    return ", ".join(f"{name}: n = {n}" for name, n in groups.items())


def plot(finding):
    """Errors against the time step."""
    data = finding.data
    if not data.get("errors"):
        return []
    errors = {name: [np.nan if e is None else e for e in values] for name, values in data["errors"].items()}
    return [
        CaptionedFigure(
            errors_by_dt(data["dt (ms)"], errors, data["nominal"]),
            f"Median error over neurons ({_numbers(data['neurons'])}), relative to the largest value, at the "
            f"end of {STEPS} steps of the training, below threshold; dashed: the order that the integrator "
            "has.",
            "Integration errors against the time step on logarithmic axes",
            "Convergence",
        )
    ]
