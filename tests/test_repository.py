"""The repository keeps its promises: nothing of one machine in it, whole wheels, torch only where needed."""

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import brianbridge

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEGABYTE = 2**20

FORBIDDEN_TEXT = {
    "registry address": re.compile(
        r"pypi\.\w+|pythonhosted|https?://\S+/simple\b|^--(extra-)?index-url", re.M
    ),
    "absolute path": re.compile(r"file:///|(?<![\w./:-])/(?:home|root|Users|work|opt|tmp)/\w"),
}
TORCH_FREE = [
    "brianbridge",
    "brianbridge.model",
    "brianbridge.tasks",
    "brianbridge.trained",
    "brianbridge.simulation",
    "brianbridge.checks",
    "brianbridge.analysis",
    "brianbridge.report",
]


def repository_files():
    """Files that are in git or would be added to it."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git repository")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_files_name_no_registry_and_no_machine():
    found = []
    for path in repository_files():
        if path == Path(__file__):
            continue
        text = path.read_bytes().decode(errors="ignore")
        found += [
            f"{path.relative_to(ROOT)}: {what}: {match.group()}"
            for what, pattern in FORBIDDEN_TEXT.items()
            if (match := pattern.search(text))
        ]
    assert not found


def test_files_are_small():
    large = [str(path.relative_to(ROOT)) for path in repository_files() if path.stat().st_size > MEGABYTE]
    assert not large


def test_every_dependency_is_pinned():
    lines = re.findall(r"^([\w.-]+)==([\w.+!-]+)", (ROOT / "requirements.txt").read_text(), re.M)
    pins = {}
    for name, version in lines:
        pins.setdefault(canonicalize_name(name), []).append(version)
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = PYPROJECT["project"]["dependencies"] + extras["test"] + extras["docs"] + extras["dev"]
    missing = [
        text
        for text in wanted
        if not any(
            Requirement(text).specifier.contains(version)
            for version in pins.get(canonicalize_name(Requirement(text).name), [])
        )
    ]
    assert not missing, "run `make lock`"


def test_the_wheel_holds_the_model_files():
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "equations" in wheel["only-include"]
    assert wheel["sources"]["equations"] == "brianbridge/equations"
    assert list((ROOT / "equations").glob("*.toml"))


def test_public_names_can_be_imported():
    assert brianbridge.__all__
    missing = [name for name in brianbridge.__all__ if not hasattr(brianbridge, name)]
    assert not missing


def test_torch_is_not_imported_where_it_is_not_needed():
    code = f"""
import importlib, sys
for name in {TORCH_FREE}:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit("import " + name + " has imported torch")
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_wheel_works_outside_the_repository(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq"]
    python = str(tmp_path / "venv" / "bin" / "python")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    # The dependencies are those of this environment: a plain line of a .pth file adds a folder without
    # reading the .pth files inside it, so that the editable install there stays out of sight. One of those
    # would have given Brian2 its distutils, which setuptools provides.
    (site_packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\nimport setuptools\n")

    code = f"""
import brianbridge
from brianbridge.model.files import model_names
assert brianbridge.__file__.startswith({str(tmp_path)!r}), brianbridge.__file__
assert model_names() == {tuple(sorted(path.stem for path in (ROOT / "equations").glob("*.toml")))}
brianbridge.load("song2016")
"""
    run = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    help_text = subprocess.run([str(Path(python).with_name("brianbridge")), "--help"], cwd=tmp_path)
    assert help_text.returncode == 0


def test_the_table_of_features_says_something_of_every_feature():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from feature_table import marks, table
    finally:
        sys.path.remove(str(ROOT / "docs"))
    found = marks()
    shown = {}
    for feature, mark, why, _ in found:
        assert feature.count(": ") == 1, feature
        assert bool(why) == (mark in ("stopped", "refused")), feature
        shown.setdefault(feature, set()).add(mark)
    assert len(shown) > 60
    alone = {feature for feature, kinds in shown.items() if not kinds & {"agrees", "refused"}}
    assert not alone, f"a gradient, but no agreement: {alone}"
    assert "| PoissonInput | yes: `test_inputs.py::test_poisson_input` |" in table()


def test_no_generator_is_taken_for_true():
    """`from brian2 import *` brings numpy's all, any and sum, for which every generator is true."""
    for path in (ROOT / "tests").rglob("*.py"):
        tree = list(ast.walk(ast.parse(path.read_text())))
        if not any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree):
            continue
        calls = [node for node in tree if isinstance(node, ast.Call) and node.args]
        wrong = [
            call.lineno
            for call in calls
            if getattr(call.func, "id", "") in ("all", "any", "sum")
            and isinstance(call.args[0], ast.GeneratorExp)
        ]
        assert not wrong, f"{path}: put the generator into brackets in lines {wrong}"
