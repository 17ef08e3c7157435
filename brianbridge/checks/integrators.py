"""Which integrator Brian2 takes for a group, and which it could take."""

from brian2.stateupdaters.base import StateUpdateMethod, UnsupportedEquationsException

from brianbridge.checks.finding import NotApplicable
from brianbridge.model.rebuild import unrun

__all__ = ["accepted_method", "method_of"]


def method_of(model, name):
    """The integrator that Brian2 takes for a group, where its user has named several.

    Raises
    ------
    NotApplicable
        For integrators of which no order is known.
    """
    group = model[name]
    if isinstance(group.method, str):
        return group.method
    method = accepted_method(model, name, group.method)
    if method is None:
        raise NotApplicable("Brian2 has no integrator for it")
    return method


def accepted_method(model, name, candidates):
    """The first integrator that can integrate a group; None if none can."""
    live = unrun(model)[name]
    for candidate in candidates:
        try:
            StateUpdateMethod.stateupdaters[candidate](live.equations, live.variables)
            return candidate
        except UnsupportedEquationsException:
            continue
    return None
