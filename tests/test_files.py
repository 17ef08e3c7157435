"""Model files: what they may hold, what is said about mistakes, and how li2020 starts."""

import numpy as np
import pytest
import torch
from brian2 import *
from brian2.devices.device import runtime_device

import brianbridge as bb
from brianbridge.model.files import ModelFileError, load_model, model_names
from tests.networks import standalone

FILE = '''
source = "a test"
dt = "0.5*ms"

[constants]
v_reset = "-65*mV"

[inputs.drive]
channels = 3
dt = "1*ms"
unit = "pA"

[groups.cells]
n = 5
model = """
dv/dt = (v_reset - v + R*drive(t, i % 3))/tau_m : volt
tau_m : second (constant, trainable)
R : ohm (trainable, shared)
theta : volt (constant)
"""
threshold = "v > theta"
reset = "v = v_reset"
refractory = "2*ms"
values.tau_m = "10*ms + 5*ms*rand()"
values.R = "500*Mohm"
values.theta = "-60*mV + i*mV"
initial.v = "v_reset + rand()*mV"
bounds.tau_m = ["5*ms", "50*ms"]
positive = ["R"]

[synapses.rec]
source = "cells"
target = "cells"
model = "w : volt (trainable)"
on_pre = "v_post += w"
delay = "1*ms"
connect = { p = 0.9, autapses = false }
values.w = "mV*rand()"
sign = { excitatory = 0.6 }
dale.w = "absolute"
tie.w = "i"
'''


@pytest.fixture
def load(tmp_path):
    """Load the file with parts replaced."""

    def load(*replaced, checked=True, **sizes):
        text = FILE
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "net.toml"
        path.write_text(text)
        return (bb.load if checked else load_model)(path, **sizes)

    return load


def says(load, expected, *replaced, error=ModelFileError, **sizes):
    with pytest.raises(error) as caught:
        load(*replaced, **sizes)
    message = str(caught.value)
    assert expected in message, message
    return message


# -- what a file describes ----------------------------------------------------------------------------


def test_everything_in_the_file_is_in_the_model(load):
    model = load(seed=3)
    cells, rec = model["cells"], model["rec"]
    assert model.source == "a test"
    assert model.dt == 0.5e-3
    assert cells.n == 5
    assert "trainable" not in cells.equations
    assert cells.constants["v_reset"].value == pytest.approx(-0.065)
    assert cells.refractory == pytest.approx(2e-3)
    assert np.all((cells.values["tau_m"] > 10e-3) & (cells.values["tau_m"] < 15e-3))
    np.testing.assert_allclose(cells.values["theta"], [-0.06, -0.059, -0.058, -0.057, -0.056])
    assert cells.initial == {"v": "v_reset + rand()*mV"}
    assert model.input("drive").values.shape == (1, 3)
    assert model.input("drive").dimensions is amp.dim
    assert rec.pathways[0].delay == pytest.approx(1e-3)
    assert np.all(rec.i != rec.j) and 10 <= rec.n <= 20
    signs = [np.unique(np.sign(rec.values["w"][rec.i == i])) for i in range(5)]
    assert sorted(sign.item() for sign in signs) == [-1, -1, 1, 1, 1]
    constraints = {t.name: t.constraint for t in model.trainable}
    assert constraints["cells.tau_m"] == bb.Bounds(5 * ms, 50 * ms)
    assert constraints["cells.R"] == bb.Positive()
    assert constraints["rec.w"] == bb.Dale(by="absolute", tie="i")


def test_it_runs(load):
    surrogate = bb.Surrogate(load(), bb.Box(width=5 * mV))
    drive = 100 * pA * np.ones((20, 2, 3))
    records = surrogate({"drive": drive}, record=["cells.v", "cells"])
    assert records["cells"].sum() > 5
    records["cells.v"].sum().backward()
    assert all([p.raw.grad is not None for p in surrogate.parameter])


def test_sizes_and_seeds(load):
    assert load(cells=8)["cells"].n == 8
    one, again, other = (load(seed=seed, checked=False) for seed in (1, 1, 2))
    assert one.hash == again.hash != other.hash


def test_sizes_of_groups_in_channels_and_values(load):
    """Inputs of one channel for each neuron; values that follow from the size of another group."""
    replaced = ("channels = 3", 'channels = "cells"'), ('"mV*rand()"', '"mV/N_cells"')
    model = load(*replaced, cells=8)
    assert model.input("drive").values.shape == (1, 8)
    np.testing.assert_allclose(np.abs(model["rec"].values["w"]), 1e-3 / 8)


def test_order_of_a_group(load):
    model = load(("n = 5", "n = 5\norder = -3"))
    assert model["cells"].order == -3
    assert model["cells"].schedule["state updater"] == ("groups", -3, True)


def test_values_one_after_the_other(load):
    model = load(('values.R = "500*Mohm"', 'values.R = ["200*Mohm", "R + 100*Mohm"]'))
    assert model["cells"].values["R"] == pytest.approx(300e6)


def test_spectral_radius(load):
    """Of the matrix of weights with their signs; two synapses of one pair add up."""
    model = load(("sign =", 'radius = "2*mV"\nsign ='), ("p = 0.9", "p = 0.9, n = 2"), cells=20)
    rec, w = model["rec"], np.zeros((20, 20))
    np.add.at(w, (rec.j, rec.i), rec.values["w"])
    assert rec.n > 600 and (w > 0).any() and (w < 0).any()
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(2e-3)


# -- variants -----------------------------------------------------------------------------------------


@pytest.fixture
def variant(load, tmp_path):
    """Load a file that is like the file of these tests."""

    def variant(text, **sizes):
        load()
        path = tmp_path / "other.toml"
        path.write_text(text)
        return bb.load(path, **sizes)

    return variant


def test_a_variant_says_only_what_differs(variant):
    model = variant(
        """like = "net"
source = "another test"
constants.v_reset = "-70*mV"
[groups.cells]
reset = "v = v_reset - 1*mV"
bounds.tau_m = ["1*ms", "90*ms"]
[synapses.rec]
connect = { p = 1.0 }
dale.w = ""
""",
        cells=6,
        seed=3,
    )
    cells, rec = model["cells"], model["rec"]
    assert model.source == "another test" and model.dt == 0.5e-3
    assert cells.constants["v_reset"].value == pytest.approx(-0.07)
    assert cells.codes["spike"] == "v = v_reset - 1*mV" and cells.events["spike"] == "v > theta"
    assert rec.n == 30  # and still no autapses
    constraints = {t.name: t.constraint for t in model.trainable}
    assert constraints["cells.tau_m"] == bb.Bounds(1 * ms, 90 * ms)
    assert constraints["rec.w"] == bb.Free(tie="i")
    assert constraints["cells.R"] == bb.Positive()


@pytest.mark.parametrize(
    "like, expected",
    [
        ('"nets"', "other.toml, like: there is no file nets.toml beside it"),
        ('"../net"', "expected the name of another model, found '../net'"),
        ("3", "expected the name of another model, found 3"),
        ('"other"', "other.toml is itself like 'other'; one step is allowed"),
    ],
)
def test_what_a_variant_cannot_be_like(variant, like, expected):
    with pytest.raises(ModelFileError) as caught:
        variant(f"like = {like}")
    assert expected in str(caught.value)


# -- mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("threshold =", "treshold =", "groups.cells: unknown key 'treshold'. Did you mean 'threshold'?"),
        ("on_pre =", "on_spike =", "synapses.rec: unknown key 'on_spike'."),
        ("[constants]", "[constant]", "top level: unknown key 'constant'. Did you mean 'constants'?"),
        ("p = 0.9", "probability = 0.9", "synapses.rec.connect: unknown key 'probability'"),
        ("channels = 3", "channel = 3", "inputs.drive: unknown key 'channel'. Did you mean 'channels'?"),
        ('v_reset = "-65*mV"', 'v_reset = "-65*mVolt"', "'mVolt' is not a unit that Brian2 knows"),
        ('v_reset = "-65*mV"', 'v_reset = "-65 mV"', "write it like '5*ms'"),
        ('v_reset = "-65*mV"', "v_reset = [1]", "expected a quantity such as '5*ms'"),
        ('v_reset = "-65*mV"', 'v_reset = "2**10**10"', "an exponent must be a number of at most 10"),
        ('v_reset = "-65*mV"', 'v_reset = "1*mV/0"', "'1*mV/0' is not a finite number"),
        ('dt = "0.5*ms"', 'dt = "0.5*mV"', "dt: '0.5*mV' is not in second"),
        ('dt = "0.5*ms"', 'dt = "0*ms"', "dt: '0*ms' is not a time step"),
        ('dt = "0.5*ms"', 'dt = "-1*ms"', "dt: '-1*ms' is not a time step"),
        ('delay = "1*ms"', 'delay = "1*mV"', "synapses.rec.delay: '1*mV' is not in second"),
        ("n = 5", 'n = "5"', "'5' is not a number of neurons"),
        ("n = 5", "n = 0", "0 is not a number of neurons"),
        ("n = 5", "n = 10000000000", "is not a number of neurons, from 1 to 1,000,000"),
        ("n = 5", "n = true", "True is not a number of neurons"),
        ("n = 5", 'n = 5\norder = "first"', "groups.cells.order: expected a whole number, found 'first'"),
        ("channels = 3", 'channels = "cell"', "'cell' is neither a number nor one of the groups"),
        ("sign =", 'radius = "1"\nsign =', "synapses.rec.radius: '1' is not in volt"),
        ("sign =", 'radius = "0*mV"\nsign =', "cannot be made 0"),
        ("sign = { excitatory = 0.6 }", "sign = { excitatory = 0.6 }\nradius = 1", "1 is not in volt"),
        ('initial.v = "v_reset + rand()*mV"', 'initial.v = "N_cells*mV"', "N_cells"),
        ("n = 5", "n = 100000", "this would make more than 100,000,000 synapses"),
        ("channels = 3", "channels = -3", "-3 is not a number of neurons"),
        ("p = 0.9", "p = 1.9", "1.9 is not a probability"),
        ("excitatory = 0.6", "excitatory = 60", "60 is not a fraction of the neurons"),
        ('source = "cells"', 'source = "cell"', "source = 'cell' is not one of the groups"),
        ('model = "w : volt (trainable)"', "model = 3", "synapses.rec.model: expected text, found 3"),
        ("dv/dt = ", "dv/dt == ", "groups.cells.model: Brian2 refuses the equations"),
        ("R : ohm (trainable, shared)", "R : ohmm (trainable)", "groups.cells.model"),
        ("values.R =", "values.r =", "do not define 'r'. Did you mean 'R'?"),
        ('values.R = "500*Mohm"', 'values.R = "500*mV"', "groups.cells.values.R: Brian2 refuses '500*mV'"),
        ('values.R = "500*Mohm"', "values.R = 500", "groups.cells.values.R: Brian2 refuses 500"),
        ('values.R = "500*Mohm"', "values.R = [true]", "expected text or a number"),
        ('values.R = "500*Mohm"', 'values.R = "500*Mohm*scale"', "scale"),
        ("initial.v =", "initial.tau_m =", "is trainable: its start is given under values"),
        ("bounds.tau_m", "bounds.theta", "bounds is given for 'theta', which is not flagged (trainable)"),
        ('["5*ms", "50*ms"]', '"5*ms"', 'expected two quantities, ["5*ms", "50*ms"]'),
        ('["5*ms", "50*ms"]', '["5*ms", "50*mV"]', "the two bounds have different units"),
        ('["5*ms", "50*ms"]', '["50*ms", "5*ms"]', "the lower bound must be below"),
        ('["5*ms", "50*ms"]', '["5*mV", "50*mV"]', "its bounds are in volt"),
        ('["5*ms", "50*ms"]', '["20*ms", "50*ms"]', "5 of 5 values are not between"),
        ('dale.w = "absolute"', 'dale.w = "magic"', "choose one of 'projection'"),
        ('dale.w = "absolute"', 'dale.w = "absolute"\npositive = ["w"]', "one of them is enough"),
        ('values.w = "mV*rand()"', 'values.w = "mV*rand(i)"', "values.w"),
        ('tie.w = "i"', 'tie.w = "k"', "tie='k' is not understood"),
        ("w : volt (trainable)", "w : volt (trainable)\\nx = 2*w : volt (trainable)", "computed from"),
        ("[synapses.rec]", "[synapses.cells]", "there is a group of this name"),
        ("[groups.cells]", "groups = 3\n[other]", "not valid TOML|unknown key"),
    ],
)
def test_mistakes_are_named_with_their_place(load, old, new, expected):
    alternatives = expected.split("|")
    with pytest.raises(ModelFileError) as caught:
        load((old, new))
    assert any([text in str(caught.value) for text in alternatives]), str(caught.value)
    assert "net.toml" in str(caught.value)


def test_names_of_files_and_groups(load, tmp_path):
    assert "li2020" in model_names()
    with pytest.raises(
        ModelFileError, match="There is no model 'li2021'; known are .* Did you mean 'li2020'"
    ):
        bb.load("li2021")
    with pytest.raises(ModelFileError, match="There is no model file"):
        bb.load(tmp_path / "nothing.toml")
    for name in ("../li2020", "../../etc/passwd", ""):
        with pytest.raises(ModelFileError, match="There is no model"):
            bb.load(name)
    says(load, "has no group 'cels'; its groups are cells. Did you mean 'cells'?", cels=3)
    for size in (0, -1, 2.5, "3", True, 10**12):
        says(load, "is not a number of neurons", cells=size)


def test_files_that_are_no_toml_and_no_model(tmp_path):
    path = tmp_path / "net.toml"
    for content in (b"dt = ", b"\xff\xfe\x00", b"a = " + b"[" * 5000):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="is not valid TOML"):
            bb.load(path)
    path.write_text("")
    with pytest.raises(ModelFileError, match="describes no group of neurons"):
        bb.load(path)
    path.write_bytes(b"# " + b"x" * 1_100_000)
    with pytest.raises(ModelFileError, match="larger than 1 MB"):
        bb.load(path)


def test_equations_that_brian2_would_refuse(load):
    says(load, "Inconsistent units", ("drive(t, i % 3))/tau_m", "drive(t, i % 3))"), error=bb.Refused)
    message = says(load, '"v_rest" could not be resolved', ("(v_reset - v", "(v_rest - v"), error=bb.Refused)
    assert "[constants]" in message
    says(load, "invalid syntax in 'v >> theta >'", ('"v > theta"', '"v >> theta >"'), error=bb.Refused)
    flagged = ("theta : volt (constant)", "theta : volt (constant)\nt_ref : second (trainable)")
    says(load, "'t_ref' cannot be trained", flagged, ('"2*ms"', '"t_ref"'), error=bb.Refused)


EVIL = "__import__('os').system('touch MARKER')"


@pytest.mark.parametrize(
    "old, new",
    [
        ('v_reset = "-65*mV"', 'v_reset = "{}"'),
        ('dt = "0.5*ms"', 'dt = "{}"'),
        ('values.R = "500*Mohm"', 'values.R = "{}"'),
        ('initial.v = "v_reset + rand()*mV"', 'initial.v = "{}"'),
        ('["5*ms", "50*ms"]', '["{}", "50*ms"]'),
        ('"v > theta"', '"v > {}"'),
        ('reset = "v = v_reset"', 'reset = "v = {}"'),
        ('reset = "v = v_reset"', 'reset = "import os; os.system(1)"'),
        ('"v_post += w"', '"v_post += {}"'),
        ('refractory = "2*ms"', 'refractory = "{}"'),
        ("p = 0.9", 'condition = "{}"'),
        ("p = 0.9", 'condition = "{}.__class__ == 1"'),
        ("drive(t, i % 3))", "{})"),
        ("theta : volt (constant)", "theta = {} : volt"),
        ('delay = "1*ms"', 'delay = "{}"'),
    ],
)
def test_nothing_in_a_file_is_executed(load, tmp_path, old, new):
    marker = tmp_path / "marker"
    evil = EVIL.replace("MARKER", str(marker))
    with pytest.raises((ModelFileError, bb.Refused)):
        load((old, new.format(evil)))
    assert not marker.exists()


def test_values_do_not_see_the_names_of_this_program(load):
    for name in ("self", "view", "np", "seed", "group", "variable"):
        says(load, name, ('values.R = "500*Mohm"', f'values.R = "{name}"'))


# -- what loading leaves behind -----------------------------------------------------------------------


def test_loading_leaves_everything_as_found(load, capsys):
    BrianLogger.log_level_warn()
    prefs.codegen.target = "auto"
    try:
        seed(5)
        np.random.rand(3)
        numpy_state = np.random.get_state()
        brian_state = {
            key: np.array(value) for key, value in runtime_device.get_random_state().items() if "index" in key
        }
        clock = defaultclock.dt
        bb.load("li2020", cells=10, seed=1)
        load()
        with pytest.raises(ModelFileError):
            load(('dale.w = "absolute"', 'dale.w = "magic"'))
        assert prefs.codegen.target == "auto"
    finally:
        prefs.codegen.target = "numpy"
        BrianLogger.log_level_error()
    assert all([np.array_equal(a, b) for a, b in zip(numpy_state, np.random.get_state())])
    after = runtime_device.get_random_state()
    assert all([np.array_equal(value, after[key]) for key, value in brian_state.items()])
    assert defaultclock.dt == clock
    import gc

    gc.collect()
    assert "WARNING" not in capsys.readouterr().err


def test_on_a_standalone_device(load):
    with standalone():
        says(load, "Load models before set_device")


# -- li2020 -------------------------------------------------------------------------------------------


def test_li2020_starts_as_the_paper_says():
    """Medians and quartiles of bounded parameters, sparse weights, four fifths of the neurons excitatory."""
    model = load_model("li2020", cells=400, seed=1)
    values, rec = model["cells"].values, model["rec"]
    expected = dict(R=(502e6, 30e6), tau_m=(27.5e-3, 2e-3), theta=(-40e-3, 1e-3), v_rest=(-70e-3, 1e-3),
                    ahp=(-5.5e-3, 0.5e-3), tau_r=(52.5e-3, 4e-3))  # fmt: skip
    for name, (median, tolerance) in expected.items():
        assert np.median(values[name]) == pytest.approx(median, abs=tolerance), name
    quartiles = np.percentile(rec.values["tau"], [25, 50, 75])
    np.testing.assert_allclose(quartiles, [37.1e-3, 52.5e-3, 67.9e-3], atol=0.6e-3)
    assert rec.n == pytest.approx(0.2 * 400**2, rel=0.02)
    signs = np.array([np.sign(rec.values["w"][rec.i == i]).mean() for i in range(400)])
    assert np.sum(signs == 1) == 320 and np.sum(signs == -1) == 80
    assert np.abs(rec.values["w"]).mean() == pytest.approx(np.sqrt(2 / np.pi) * 1e-12, rel=0.02)
    assert np.std(model["w_in"].values["w"]) == pytest.approx(20e-12, rel=0.1)
    bounds = {t.name: t.constraint for t in model.trainable if isinstance(t.constraint, bb.Bounds)}
    assert len(bounds) == 7
    assert bounds["cells.R"] == bb.Bounds(5 * Mohm, 1000 * Mohm)
    assert {t.name for t in model.trainable} - set(bounds) == {"rec.w", "w_in.w", "w_out.w"}
    assert isinstance(next(t for t in model.trainable if t.name == "rec.w").constraint, bb.Dale)


def test_li2020_is_alive():
    """About 5 Hz without input, neither silent nor saturated, both kinds of neurons."""
    model = bb.load("li2020", cells=100, seed=1)
    with torch.no_grad():
        records = bb.Surrogate(model)(duration=1 * second, record=["cells"], batch=4, seed=1)
    rates, rec = records.rates("cells"), model["rec"]
    inhibitory = np.isin(np.arange(100), rec.i[rec.values["w"] < 0])
    assert inhibitory.sum() == 20
    assert 3.5 < rates[~inhibitory].mean() < 8
    assert 3 < rates[inhibitory].mean() < 10
    assert rates.max() < 60


def test_a_trained_network_is_not_a_model_file():
    with pytest.raises(ModelFileError, match=r"Trained\.load"):
        bb.load("network.safetensors")
