"""Damaged and hostile files: every reader has an error of its own, answers soon, or reads them."""

import json
import re
import struct
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import ms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import brianbridge as bb
from brianbridge import tasks
from brianbridge.checks import CheckOptionError, options, reproduction
from brianbridge.checks.keeping import Kept
from brianbridge.checks.ladder import LADDER
from brianbridge.checks.reproduction import ReportFileError, reproduce
from brianbridge.cli import main
from brianbridge.model.files import ModelFileError, load_model
from brianbridge.model.quantities import read_quantity
from brianbridge.model.storage import StorageError, model_from_parts, model_to_parts
from brianbridge.tasks.idx_files import read_idx
from brianbridge.trained import TrainedFileError
from tests.networks import small_network
from tests.test_checks import pushing_network
from tests.test_files import EVIL, FILE
from tests.test_trained import rewritten

HUGE = [
    "99999999",
    "-1",
    "0",
    "1e308",
    "1e-308",
    "9" * 400,
    "9" * 5000,
    "nan",
    "inf",
    "2**9**9",
    "9**9**9**9",
]
WORDS = [
    "",
    "\x00",
    "\x1b[2J",
    "\u202e",
    "é",
    "'''",
    '"""',
    "[[",
    "((" * 100,
    "abs(" * 30,
    EVIL,
    "self",
    "import os",
]


def fuzz(strategy, examples):
    """Call a function with many examples."""

    def run(function):
        settings(max_examples=examples, suppress_health_check=list(HealthCheck))(given(strategy)(function))()

    return run


# -- what is done to a file ---------------------------------------------------------------------------


@st.composite
def damaged_text(draw, text):
    """Flip, cut, insert, repeat lines, nest, and replace numbers by huge ones."""
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["number", "word", "cut", "line", "nest", "flip"]))
        place = draw(st.integers(0, max(len(text) - 1, 0)))
        if kind == "number":
            numbers = list(re.finditer(r"\d+(\.\d+)?", text))
            if numbers:
                found = numbers[place % len(numbers)]
                text = text[: found.start()] + draw(st.sampled_from(HUGE)) + text[found.end() :]
        elif kind == "word":
            text = text[:place] + draw(st.sampled_from(WORDS)) + text[place:]
        elif kind == "cut":
            text = text[:place] + text[place + draw(st.integers(1, 40)) :]
        elif kind == "line":
            lines = text.split("\n")
            lines.insert(place % len(lines), lines[draw(st.integers(0, len(lines) - 1))])
            text = "\n".join(lines)
        elif kind == "nest":
            text = (
                text[:place]
                + draw(st.sampled_from(["[", "{", "("])) * draw(st.sampled_from([5, 3000]))
                + text[place:]
            )
        else:
            text = text[:place] + draw(st.characters()) + text[place + 1 :]
    return text


HOSTILE_VALUES = st.sampled_from(
    [None, True, -1, 0, 10**15, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 300, EVIL, "9**9**9**9"]
    + ["\x1b[2J", [], {}, [[[[]]]], {"class": "Popen"}, {"class": "Model"}, {"array": "rec.w"}, {"array": []}]
    + [{"mapping": {}}, {"mapping": []}, {"quantity": "x", "of": []}, {"dimensions": [9] * 7}]
).map(deepcopy)


def places(value, path=()):
    """Of every entry of nested lists and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


@st.composite
def changed(draw, document):
    """Other values, removed and repeated entries somewhere in a JSON document."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        everywhere = list(places(document))
        if not everywhere:
            break
        *above, key = draw(st.sampled_from(everywhere))
        holder = document
        for step in above:
            holder = holder[step]
        kind = draw(st.sampled_from(["value", "value", "remove", "add"]))
        if kind == "remove":
            del holder[key]
        elif kind == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(["class", "extra", EVIL]))] = draw(HOSTILE_VALUES)
        else:
            holder[key] = draw(HOSTILE_VALUES)
    return document


# -- the readers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", [12, pytest.param(1500, marks=pytest.mark.slow)])
def test_model_files(examples, tmp_path):
    path = tmp_path / "net.toml"

    @fuzz(damaged_text(FILE), examples)
    def read(text):
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            load_model(path)
        except ModelFileError as error:
            assert "net.toml" in str(error) and len(str(error)) < 1000


@pytest.fixture(scope="module")
def stored():
    import brian2

    brian2.start_scope()
    net, cells, _, rec, _ = small_network()
    return model_to_parts(bb.wrap(net, train={cells.tau_m: None, rec.w: bb.Dale()}))


@pytest.mark.parametrize("examples", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_stored_models(stored, examples):
    text, arrays = stored

    @fuzz(changed(json.loads(text)), examples)
    def read(document):
        try:
            model = model_from_parts(json.dumps(document), arrays)
            model.hash  # noqa: B018 - of what was read, there is one
        except StorageError as error:
            assert len(str(error)) < 1000


@pytest.mark.parametrize("examples", [10, pytest.param(1000, marks=pytest.mark.slow)])
def test_trained_files_with_a_fitting_hash(stored, examples, tmp_path, capsys):
    """As someone would write them on purpose: `show` and `check` refuse them, or say what they hold."""
    text, arrays = stored
    model = model_from_parts(text, arrays)
    trained = bb.Trained(model, "context_integration", {"delay": "0 ms"}, {"stim": "stimulus"}, "cells.r")
    trained = replace(trained, history={"loss": [2.0, 1.0]}, manifest={"training": {"seed": 1}})
    content = trained.save(tmp_path / "sound.safetensors").read_bytes()
    path = tmp_path / "trained.safetensors"
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])

    @fuzz(changed(json.loads(header["__metadata__"]["brianbridge"])), examples)
    def read(document):
        try:
            document["model_hash"] = model_from_parts(json.dumps(document["model"]), arrays).hash
        except (StorageError, KeyError, TypeError):
            pass
        rewritten(content, path, lambda metadata: json.dumps(document))
        try:
            bb.Trained.load(path)
        except TrainedFileError:
            pass
        status = main(["show", str(path)])
        printed = capsys.readouterr()
        assert status in (0, 65), printed.err
        assert "\x1b" not in printed.out + printed.err


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    trained = pushing_network(tasks.ContextIntegration(fixation=10 * ms, stimulus=50 * ms, response=20 * ms))
    file = trained.save(folder / "trained.safetensors")
    bb.check(file, only=["constraints"], out=folder, progress=False)
    return folder


def checked_options(sound, network):
    """A `check` that looks at what it is asked for, and has found this before."""

    def check(trained, task, *, ladder, only, dt, margins, seed, fine_tune, **_):
        assert isinstance(task, tasks.Task) and 0 <= seed < options.MOST_SEEDS
        options.read_margins(margins), options.read_steps(dt, network)
        options.read_updates(fine_tune, options.read_sizes(ladder), options.read_only(only))
        return SimpleNamespace(as_dict=lambda: sound)

    return check


@pytest.mark.parametrize("examples", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_reports_and_kept_findings(report, examples, tmp_path, monkeypatch):
    sound = json.loads((report / "report.json").read_text())
    network = bb.Trained.load(report / "trained.safetensors")
    monkeypatch.setattr(reproduction, "check", checked_options(sound, network))
    rung = next(rung for rung in LADDER if rung.key == "constraints")
    (kept,) = (report / "rungs").iterdir()
    (tmp_path / "rungs").mkdir()

    @fuzz(
        st.tuples(changed(sound), damaged_text(json.dumps(sound)), changed(json.loads(kept.read_text()))),
        examples,
    )
    def read(drawn):
        document, text, finding = drawn
        for content in (json.dumps(document), text):
            path = tmp_path / "report.json"
            path.write_text(content, encoding="utf-8", errors="surrogatepass")
            try:
                reproduce(path, progress=False)
            except ReportFileError as error:
                assert "report.json" in str(error) and len(str(error)) < 1000
            except CheckOptionError as error:
                assert len(str(error)) < 1000
        (tmp_path / "rungs" / kept.name).write_text(json.dumps(finding))
        found = Kept(tmp_path, sound["manifest"]).of(rung)
        assert found is None or found.verdict


@pytest.mark.parametrize("examples", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_idx_files(examples, tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    sound = bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape) + images.tobytes()
    path = tmp_path / "images"

    @fuzz(st.tuples(st.integers(0, 40), st.integers(0, 6), st.binary(max_size=6)), examples)
    def read(drawn):
        place, removed, added = drawn
        path.write_bytes(sound[:place] + added + sound[place + removed :])
        try:
            found = read_idx(path, 3)
        except ValueError as error:
            assert "images" in str(error)
        else:
            assert found.nbytes <= 60


@pytest.mark.parametrize("examples", [100, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["context_integration", "delayed_match", "digits", "temporal_xor"])
def test_arguments_of_tasks(name, examples):
    """As a trained file holds them."""
    sound = dict(tasks.make(name).arguments)

    @fuzz(changed(sound), examples)
    def make(arguments):
        try:
            tasks.make(name, **arguments)
        except (TypeError, ValueError) as error:
            assert name in str(error) and len(str(error)) < 2000  # it may quote long numbers


@settings(max_examples=300)
@given(
    st.text("0123456789.eE+-*/() msVp_\x00", max_size=60) | damaged_text("-5*mV/ms**0.5 + 2*(3 - 1e3*volt)")
)
def test_quantities(text):
    try:
        assert np.isfinite(float(read_quantity(text)))
    except ValueError as error:
        assert len(str(error)) < 1000


# -- text that would keep Brian2 busy, or execute something -------------------------------------------


@pytest.mark.parametrize(
    "old, new",
    [
        ("theta : volt (constant)", "theta = {} : volt"),
        ("R : ohm (trainable, shared)", "R : {} (trainable)"),
        ("(v_reset - v", "({} - v"),
        ('values.R = "500*Mohm"', 'values.R = "{}"'),
        ('values.R = "500*Mohm"', 'values.R = ["R", "{}"]'),
        ('initial.v = "v_reset + rand()*mV"', 'initial.v = "{}"'),
        ('reset = "v = v_reset"', 'reset = "v = {}"'),
        ('"v > theta"', '"v > {}"'),
        ('refractory = "2*ms"', 'refractory = "{}"'),
        ('"v_post += w"', '"v_post += {}"'),
        ("p = 0.9", 'condition = "{}"'),
    ],
)
@pytest.mark.parametrize(
    "text, says",
    [
        ("volt**9**9**9", "an exponent must be at most 100"),
        ("(0.001**100)**100", "exponent|too large or too small|Invalid|refuses"),
        (f"{'abs(' * 25}v{')' * 25}", "function calls inside each other|Invalid|refuses"),
    ],
)
def test_text_that_would_take_for_ever(tmp_path, old, new, text, says):
    assert old in FILE
    path = tmp_path / "net.toml"
    path.write_text(FILE.replace(old, new.format(text)))
    with pytest.raises(ModelFileError, match=says) as caught:
        load_model(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text", ["x**2", "x**-0.5", "x**0.005", "(1 + x/2)**4", "2**(i % 3)", "x**(1/3)", "1e-9**3"]
)
def test_ordinary_powers_pass(text):
    from brianbridge.model.text_limits import check_code, check_equations

    check_code(f"y = {text}")
    check_equations(f"dx/dt = -({text})/ms : 1  # and so on\nz = x : 1")


def full_width(text):
    """Python reads these letters as the usual ones; a search for names does not see them."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text)


@pytest.mark.parametrize("field", ["threshold", "reset", "equations", "initial", "on_pre"])
def test_equations_of_a_trained_file_cannot_execute(stored, field, tmp_path):
    """Brian2 makes code of the text and runs it: it must refuse every name that is not its own."""
    marker = tmp_path / "marker"
    opened = "+".join(f"{full_width('chr')}({ord(c)})" for c in f"open({str(marker)!r}, 'w')")
    for evil in (EVIL.replace("MARKER", str(marker)), f"{full_width('eval')}({opened})", "(lambda: v)()"):
        document = json.loads(stored[0])
        cells = next(group for group in document["groups"] if group["name"] == "cells")
        rec = next(group for group in document["groups"] if group["name"] == "rec")
        if field == "threshold":
            cells["events"]["mapping"]["spike"] = f"v > {evil}"
        elif field == "reset":
            cells["codes"]["mapping"]["spike"] = f"v = {evil}"
        elif field == "equations":
            cells["equations"] = cells["equations"].replace("R*I_in**2", f"R*I_in**2*{evil}")
        elif field == "initial":
            cells["initial"]["mapping"]["v"] = evil
        else:
            rec["pathways"][0]["code"] = f"I_syn_post += {evil}"
        with pytest.raises(Exception) as caught:
            model = model_from_parts(json.dumps(document), stored[1])
            trained = bb.Trained(model, inputs={"stim": "stimulus"}, output="cells.r")
            shown = np.zeros((40, 1, 2))
            trials = tasks.Trials({"stimulus": shown}, shown[..., :1], shown[..., :1], {}, {}, 1e-3)
            bb.simulate(trained, trials, progress=False)
        assert not isinstance(caught.value, OSError) and not marker.exists(), (field, evil)
