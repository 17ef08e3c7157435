"""Does the text of a model mean something else at another time step?"""

from brian2.equations.equations import parse_string_equations
from brian2.parsing.statements import parse_statement
from brian2.utils.stringtools import get_identifiers

from brianbridge.model.equation_text import statements
from brianbridge.model.groups import Operation, PoissonNeurons

__all__ = ["step_dependence"]

RANDOM = {"rand", "randn", "poisson"}


def step_dependence(model):
    """What in a model depends on the time step as it is written.

    Parameters
    ----------
    model : Model

    Returns
    -------
    str
        Empty where nothing does. Noise as ``xi`` is scaled by Brian2 itself, and so are the rates of Poisson
        neurons. What is drawn in a reset is drawn once for each spike, at any time step.
    """
    for group in model.groups:
        for where, text, in_every_step in _texts(group):
            found = get_identifiers(text)
            if "dt" in found:
                return f"{where} of {group.name} contains dt"
            if in_every_step and RANDOM & found:
                return f"{where} of {group.name} draws random numbers in every step"
        for operation in group.operations:
            changed = _goes_on(operation.code) if _is_in_every_step(operation) else set()
            if changed:
                return f"a regular operation of {group.name} changes {min(changed)} by itself in every step"
    return ""


def _texts(group):
    """What it is, the text, and whether it is evaluated in every step."""
    for equation in parse_string_equations(group.equations).values():
        if equation.expr is not None:
            yield "an equation", equation.expr.code, True
    for text in getattr(group, "events", {}).values():
        if not isinstance(group, PoissonNeurons):  # theirs is Brian2's own, rand() < rates*dt
            yield "a threshold", text, True
    for text in getattr(group, "codes", {}).values():
        yield "a reset", text, False
    if isinstance(getattr(group, "refractory", None), str):
        yield "the refractory period", group.refractory, False
    for pathway in getattr(group, "pathways", ()):
        yield "the pathway", pathway.code, False
    for operation in group.operations:
        if isinstance(operation, Operation):
            yield "a regular operation", operation.code, _is_in_every_step(operation)


def _is_in_every_step(operation):
    return isinstance(operation, Operation) and operation.dt is None


def _goes_on(code):
    """Variables that statements make of what they were before: as often as there are steps."""
    read, written, changed = set(), set(), set()
    for statement in statements(code):
        name, operation, value, _ = parse_statement(statement)
        read |= get_identifiers(value) - written
        if name in read or (operation != "=" and name not in written):
            changed.add(name)
        written.add(name)
    return changed
