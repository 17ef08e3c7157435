"""What neurons compare with a threshold, read from the text of the condition."""

import ast

from brian2.equations.equations import DIFFERENTIAL_EQUATION, PARAMETER, parse_string_equations

__all__ = ["crossing", "watched"]


def crossing(condition):
    """Variable and expression of a condition that is ``variable > expression`` and nothing else.

    Returns
    -------
    (str, str) or None
    """
    tree = _parsed(condition)
    if (
        isinstance(tree, ast.Compare)
        and len(tree.ops) == 1
        and isinstance(tree.ops[0], ast.Gt | ast.GtE)
        and isinstance(tree.left, ast.Name)
    ):
        return tree.left.id, ast.unparse(tree.comparators[0])
    return None


def watched(group):
    """The state that the condition for a spike names first, such as ``'v'``; None where it names none.

    States of differential equations come before other variables that may change.
    """
    equations = parse_string_equations(group.equations)
    tree = _parsed(getattr(group, "events", {}).get("spike", ""))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)] if tree else []
    found = {
        node.id: equations[node.id]
        for node in sorted(names, key=lambda node: (node.lineno, node.col_offset))
        if node.id in equations and node.id in group.values
    }
    states = [name for name, equation in found.items() if equation.type == DIFFERENTIAL_EQUATION]
    states += [
        name
        for name, equation in found.items()
        if equation.type == PARAMETER
        and "constant" not in equation.flags
        and group.values[name].dtype.kind == "f"
    ]
    return next(iter(states), None)


def _parsed(condition):
    """The tree of a condition; None for what Python does not parse."""
    try:
        return ast.parse(condition.strip(), mode="eval").body
    except SyntaxError:
        return None
