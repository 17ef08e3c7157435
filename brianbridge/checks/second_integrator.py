"""Rung 5, second part: performance does not hang on the method that integrates the equations."""

from dataclasses import replace

from brianbridge.checks.driven import held_noise, with_held_noise
from brianbridge.checks.equivalence import equivalence_finding
from brianbridge.checks.finding import NotApplicable
from brianbridge.checks.integrators import accepted_method, method_of
from brianbridge.model.equation_text import has_differential_equations

__all__ = ["measure", "other_methods"]

CANDIDATES = ("rk4", "exact")  # of an order that is no lower than that of any other method


def measure(context):
    """The same trials at the same time step with the same noise, which is held, by two methods."""
    dt = context.trials.dt
    own, held = with_held_noise(context.model, dt)
    other, _ = with_held_noise(context.trained.model, dt)
    methods, left = other_methods(other)
    if not methods:
        raise NotApplicable("; ".join(left) or "no group has differential equations")
    noise = held_noise(held, context.trials, context.seed)
    trials = replace(context.trials, inputs={**context.trials.inputs, **noise})
    outputs = {
        where: context.run(model, trials, more_inputs=tuple(noise), seed=context.seed).outputs
        for where, model in (("as trained", own), ("with the other method", other.with_method(methods)))
    }
    first, second = map(context.correct, outputs.values())
    named = ", ".join(f"{name} by {method}" for name, method in methods.items())
    return equivalence_finding(
        second,
        first,
        context.margins["integrator"],
        f"{second.mean():.0%} with {named}, {first.mean():.0%} as trained",
        left,
        outputs,
        **{
            "methods": methods,
            "as trained": float(first.mean()),
            "with the other": float(second.mean()),
        },
    )


def other_methods(model):
    """Another integrator for each group, of the same order or a higher one.

    Returns
    -------
    methods : dict of str to str
    left : list of str
        Groups for which Brian2 has none, with that reason.
    """
    methods, left = {}, []
    for group in model.groups:
        if not has_differential_equations(group.equations):
            continue
        own = method_of(model, group.name)
        other = accepted_method(model, group.name, [method for method in CANDIDATES if method != own])
        if other:
            methods[group.name] = other
        else:
            left.append(f"{group.name}: Brian2 has no method of its order besides {own!r}")
    return methods, left
