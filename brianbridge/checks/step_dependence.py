"""Does the text of a model mean something else at another time step?"""

import re

from brian2.utils.stringtools import get_identifiers

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
        Empty where nothing does. Noise as ``xi`` is scaled by Brian2 itself.
    """
    for group in model.groups:
        for where, text in _texts(group):
            found = get_identifiers(text)
            if "dt" in found:
                return f"{where} of {group.name} contains dt"
            if where in ("an equation", "a threshold") and RANDOM & found:
                return f"{where} of {group.name} draws random numbers in every step"
    return ""


def _texts(group):
    for line in re.split(r"[\n;]", group.equations):
        yield "an equation", line.partition("#")[0].partition("=")[2]  # behind dv/dt
    for text in getattr(group, "events", {}).values():
        yield "a threshold", text
    for text in getattr(group, "codes", {}).values():
        yield "a reset", text
    for pathway in getattr(group, "pathways", ()):
        yield "the pathway", pathway.code
    for operation in group.operations:
        if hasattr(operation, "code"):
            yield "a regular operation", operation.code
