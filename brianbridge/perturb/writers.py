"""What writes a variable while a network runs: resets, synapses, sums and regular operations."""

from brian2.equations.equations import parse_string_equations
from brian2.parsing.statements import parse_statement

from brianbridge.model.equation_text import statements
from brianbridge.model.groups import PoissonDrive

__all__ = ["writers_of"]


def writers_of(model, group, variable):
    """Names of everything but differential equations that writes a variable.

    Parameters
    ----------
    model : Model
    group, variable : str

    Returns
    -------
    list of str
        ``'rec_pre'`` for a pathway of synapses, ``'the reset of cells'``.
    """
    own = model[group]
    found = [f"the reset of {group}" for code in getattr(own, "codes", {}).values() if variable in _set(code)]
    for operation in own.operations:
        drive = isinstance(operation, PoissonDrive)
        if variable in ({operation.variable} if drive else _set(operation.code)):
            found.append(operation.name)
    for synapses in model.groups:
        if hasattr(synapses, "pathways"):
            names = _names(synapses, group, variable)
            pathways = [pathway for pathway in synapses.pathways if names & _set(pathway.code)]
            found += [f"{synapses.name}_{pathway.name}" for pathway in pathways]
            sums = parse_string_equations(synapses.equations).values()
            found += [
                f"a sum of {synapses.name}"
                for equation in sums
                if "summed" in equation.flags and equation.varname in names
            ]
    return list(dict.fromkeys(found))


def _set(code):
    """Variables to which statements assign."""
    return {parse_statement(statement)[0] for statement in statements(code)}


def _names(synapses, group, variable):
    """What a variable of a group is called in the code of synapses."""
    names = {variable} if synapses.name == group else set()
    if synapses.source[0] == group:
        names.add(f"{variable}_pre")
    if synapses.target[0] == group:
        names.add(f"{variable}_post")
        if variable not in parse_string_equations(synapses.equations):
            names.add(variable)
    return names
