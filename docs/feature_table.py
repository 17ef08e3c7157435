"""The table of language features, read from the marks of the agreement tests.

``@pytest.mark.agrees("Inputs: PoissonGroup")`` on a test says what it shows; ``differentiable`` the same for
its gradient, ``stopped`` that there is none, and ``refused`` that it is refused, both with a reason ``why=``.
"""

import ast
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
MARKS = ("agrees", "differentiable", "stopped", "refused")
HEADING = "| Feature | Agrees with Brian2 | Differentiable | Refused |\n|---|---|---|---|\n"


def marks(folder=TESTS):
    """All marks of the tests.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of (str, str, str, str)
        Feature, mark, reason (may be empty), and ``file::test``.
    """
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for mark in getattr(node, "decorator_list", ()):
                name = getattr(getattr(mark, "func", None), "attr", "")
                if isinstance(node, ast.FunctionDef) and name in MARKS:
                    why = next((k.value.value for k in mark.keywords if k.arg == "why"), "")
                    test = f"{path.name}::{node.name}"
                    found += [(argument.value, name, why, test) for argument in mark.args]
    return found


def table(folder=TESTS):
    """The table as Markdown, one part for each group of features (``'Group: feature'``)."""
    features = {}
    for feature, mark, why, test in marks(folder):
        features.setdefault(feature, {}).setdefault(mark, []).append((why, test))
    groups = {}
    for feature in sorted(features):
        group, _, name = feature.partition(": ")
        groups.setdefault(group, []).append(_row(name, features[feature]))
    return "\n\n".join(f"## {group}\n\n{HEADING}" + "\n".join(rows) for group, rows in groups.items()) + "\n"


def _row(name, shown):
    agrees = _tests(shown.get("agrees", ()))
    differentiable = _tests(shown.get("differentiable", ())) or _reasons(shown.get("stopped", ()), "no: ")
    refused = _reasons(shown.get("refused", ()))
    return f"| {name} | {agrees} | {differentiable} | {refused} |"


def _tests(shown):
    return "yes: " + ", ".join(f"`{test}`" for _, test in shown) if shown else ""


def _reasons(shown, prefix=""):
    return "; ".join(f"{prefix}{why} (`{test}`)" for why, test in shown)
