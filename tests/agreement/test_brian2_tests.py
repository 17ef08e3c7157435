"""The table of Brian2's own tests names every one of them, and our tests that it names exist."""

import ast
import csv
import re
from pathlib import Path

import brian2.tests
import pytest

HERE = Path(__file__).parent
MODULES = "neurongroup synapses refractory stateupdaters subgroup network".split()
with (HERE / "brian2_tests.csv").open(newline="") as file:
    ROWS = list(csv.DictReader(file))


def functions_of_tests(path):
    """Names of the test functions at the top level of a file, whatever their parameters."""
    nodes = ast.parse(path.read_text(encoding="utf8")).body
    return [n.name for n in nodes if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]


@pytest.mark.parametrize("module", MODULES)
def test_every_function_is_listed(module):
    listed = [row["function"] for row in ROWS if row["module"] == f"test_{module}"]
    assert listed == functions_of_tests(Path(brian2.tests.__file__).with_name(f"test_{module}.py"))


def test_their_number():
    assert len(ROWS) == 325


def test_every_verdict_is_founded():
    for row in ROWS:
        assert row["verdict"] in ("agrees", "refused", "not about simulation")
        assert row["where"] or row["verdict"] == "not about simulation", row
        assert row["note"] or row["verdict"] == "agrees", row
        if row["verdict"] == "agrees":
            assert re.fullmatch(r"test_\w+\.py::test_\w+", row["where"]), row


def test_every_test_that_is_named_exists():
    ours = {path.name: functions_of_tests(path) for path in HERE.glob("test_*.py")}
    for row in ROWS:
        for file, name in re.findall(r"(test_\w+\.py)::(test_\w+)", row["where"] + " " + row["note"]):
            assert name in ours[file], row
