"""Limits of equation text from files.

Brian2 computes constant powers exactly, and its time grows exponentially with calls inside calls: a line
such as ``9**9**9**9`` would keep it busy for ever. Text from a file is looked at first.
"""

import ast
import math
import textwrap

from brian2.equations.equations import EQUATIONS, ParseException

__all__ = ["check_code", "check_equations"]

LARGEST_EXPONENT = 100
LARGEST_POWER = 1e300
MOST_CALLS = 10  # one inside the other
DEEPEST = 300  # of brackets and operators
LONGEST = 100_000  # characters
MENDED = "Compute it elsewhere and write the number, or give parts of it names of their own."


def check_equations(text):
    """Look at the expressions and units of equations.

    Parameters
    ----------
    text : str

    Raises
    ------
    ValueError
        Quoting what goes beyond the limits. Text that Brian2 cannot parse is left for it to refuse.
    """
    _check_length(text)
    try:
        found = EQUATIONS.parse_string(text, parse_all=True)
    except (ParseException, RecursionError):
        return
    for equation in found:
        for part in ("expression", "unit"):
            if part in equation:
                check_code(str(equation[part]))


def check_code(text):
    """The same for one expression, or for statements as in a reset."""
    _check_length(text)
    try:
        tree = ast.parse(textwrap.dedent(text).strip())
    except (SyntaxError, ValueError):
        return
    except (RecursionError, MemoryError):
        raise ValueError(f"{text:.60}... is nested too deeply. {MENDED}") from None
    _check_depth(tree, text)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            _check_power(node)


def _check_length(text):
    if len(text) > LONGEST:
        raise ValueError(f"{text:.60}... has {len(text):,} characters; at most {LONGEST:,} are read.")


def _check_depth(tree, text):
    level = [(tree, 0)]
    for _ in range(DEEPEST):
        level = [
            (child, calls + isinstance(child, ast.Call))
            for node, calls in level
            for child in ast.iter_child_nodes(node)
        ]
        if any(calls > MOST_CALLS for _, calls in level):
            raise ValueError(
                f"{text:.60}... has more than {MOST_CALLS} function calls inside each other. {MENDED}"
            )
    if level:
        raise ValueError(f"{text:.60}... is nested too deeply. {MENDED}")


def _check_power(node):
    number = _number(node.right)
    if (_bound(node.right) if number is None else number) > LARGEST_EXPONENT:
        raise ValueError(f"{_quoted(node)}: an exponent must be at most {LARGEST_EXPONENT}. {MENDED}")
    if _bound(node) > LARGEST_POWER:
        raise ValueError(f"{_quoted(node)} is too large or too small to be computed. {MENDED}")


def _bound(node):
    """No smaller than the absolute value of an expression, or of its inverse, if names stand for 1."""
    number = _number(node)
    if number is not None:
        return max(number, 1 / number) if number else 1.0
    if isinstance(node, ast.BinOp):
        left, right = _bound(node.left), _bound(node.right)
        if isinstance(node.op, ast.Pow):
            return left**right if right * math.log(left) < 700 else math.inf
        return left + right if isinstance(node.op, ast.Add | ast.Sub) else left * right
    if isinstance(node, ast.UnaryOp):
        return _bound(node.operand)
    return 1.0


def _number(node):
    """Absolute value of a number with or without a sign; None for anything else."""
    if isinstance(node, ast.UnaryOp):
        return _number(node.operand)
    if not isinstance(node, ast.Constant) or not isinstance(node.value, int | float):
        return None
    try:
        return float(abs(node.value))
    except OverflowError:
        return math.inf


def _quoted(node):
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
