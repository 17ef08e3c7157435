"""`bb.wrap`: what may be named and how, what may be trained, and what is refused in words."""

import warnings

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.naming import UnknownName
from tests.networks import small_network, standalone

# -- names --------------------------------------------------------------------------------------------


def test_objects_and_text_name_the_same():
    net, cells, _, rec, stim = small_network()
    objects = bb.wrap(net, train={cells.tau_m: None, rec.w: None, stim: None, cells.R: None})
    text = bb.wrap(net, train={"cells.tau_m": None, "rec.w": None, "stim": None, "cells.R": None})
    assert [t.name for t in objects.trainable] == ["cells.tau_m", "rec.w", "stim", "cells.R"]
    assert objects.hash == text.hash


def test_a_view_without_units_is_the_same_variable():
    net, cells, *_ = small_network()
    assert bb.wrap(net, train={cells.tau_m_: None}).trainable[0].name == "cells.tau_m"


def test_names_of_the_callers_variables_and_names_of_brian2():
    neurons = NeuronGroup(
        2, "dv/dt = -v/tau : 1\ntau : second", threshold="v > 1", reset="v = 0", method="euler"
    )
    neurons.tau = 10 * ms
    links = Synapses(neurons, neurons, "w : 1", on_pre="v_post += w")
    links.connect()
    net = Network(neurons, links)
    assert links.name == "synapses"
    by_caller = bb.wrap(net, train={"links.w": None, "neurons.tau": None})
    by_brian = bb.wrap(net, train={"synapses.w": None, f"{neurons.name}.tau": None})
    assert [t.name for t in by_caller.trainable] == ["synapses.w", f"{neurons.name}.tau"]
    assert by_caller.hash == by_brian.hash
    surrogate = bb.Surrogate(by_caller)
    records = surrogate(duration=2 * ms, record=["links.w", "neurons"], initial={"neurons.v": np.ones(2)})
    assert records["links.w"].shape == (20, 1, 4)
    assert torch.equal(records["neurons"], records[f"{neurons.name}.spike"])
    assert records[neurons.v if "v" in records.names else neurons].shape == (20, 1, 2)
    assert "links.w" in records and neurons.tau not in records


def test_without_a_network_everything_visible_is_wrapped():
    neurons = NeuronGroup(2, "dv/dt = -v/(10*ms) : 1", name="visible", method="euler")
    assert [group.name for group in bb.wrap(train={neurons.v: None}).groups] == ["visible"]


@pytest.mark.parametrize(
    "key, says",
    [
        ("cells.tau_mm", "Did you mean 'cells.tau_m'"),
        ("cels.tau_m", "Did you mean 'cells.tau_m'"),
        ("rec.v_post", "write cells.v"),
        ("tau_sin", "Constants of the equations: sigma, tau_syn, v_rest"),
        ("cells.tau_syn", "train={'tau_syn': ...}"),
        ("cells.spike", "an event; train the variables"),
        ("cells.power", "computed by the network; train the variables"),
        ("cells", "an event"),
        ("rec", "no threshold and therefore no spikes"),
    ],
)
def test_unknown_names_get_a_suggestion(key, says):
    net, *_ = small_network()
    with pytest.raises(UnknownName) as caught:
        bb.wrap(net, train={key: None})
    assert says in str(caught.value)


def test_a_subgroup_is_named_with_its_whole_group():
    net, cells, *_ = small_network()
    part = cells[2:4]
    for key in (part.tau_m, "part.tau_m", cells[1:2].tau_m):
        with pytest.raises(UnknownName, match="whole group, cells.tau_m: a mask trains a part"):
            bb.wrap(net, train={key: None})
    surrogate = bb.Surrogate(bb.wrap(net))
    with pytest.raises(UnknownName, match="belongs to a subgroup of 'cells'"):
        surrogate(duration=2 * ms, record=[part.v])
    with pytest.raises(UnknownName, match="belongs to a subgroup of 'cells'"):
        surrogate(duration=2 * ms, record=[part])


def test_objects_of_another_network():
    net, cells, *_ = small_network()
    links = Synapses(cells, cells, "w : 1", name="others")
    links.connect()
    surrogate = bb.Surrogate(bb.wrap(net))
    for key in (links.w, links.v_pre, links):
        with pytest.raises(
            UnknownName, match="The model has no group 'others'; its groups are cells, source, rec"
        ):
            surrogate(duration=1 * ms, record=[key])


def test_a_timed_array_that_is_not_used():
    net, *_ = small_network()
    other = TimedArray(np.zeros(3), dt=1 * ms)
    with pytest.raises(UnknownName, match="use no TimedArray .*; they use: stim"):
        bb.wrap(net, train={other: None})


def test_what_names_nothing():
    net, cells, *_ = small_network()
    with pytest.raises(TypeError, match=r"use an object of Brian2 such as cells.v"):
        bb.wrap(net, train={3: None})
    with pytest.raises(TypeError, match=r"cells.tau_m is given 5. \* msecond; expected Bounds"):
        bb.wrap(net, train={cells.tau_m: 5 * ms})
    with pytest.raises(ValueError, match="cells.tau_m is named twice"):
        bb.wrap(net, train={cells.tau_m: None, "cells.tau_m": None})


# -- whatever may be assigned before run() ------------------------------------------------------------


def gradients(net, train, namespace=None):
    """Gradient of the voltages with respect to every trained parameter."""
    surrogate = bb.Surrogate(
        bb.wrap(net, train=train, namespace=namespace or {}), bb.Triangle(width=20 * mV), dtype=torch.float64
    )
    records = surrogate(duration=40 * ms, record=["cells.v", "cells.r"], seed=1)
    (records["cells.v", mV].mean() + records["cells.r"].mean()).backward()
    return {name: raw.grad for name, raw in surrogate.named_values().items()}


def test_everything_that_may_be_assigned_is_trainable():
    net, cells, w_in, rec, stim = small_network()
    train = {
        cells.tau_m: None,  # a parameter of every neuron
        cells.R: bb.Positive(),  # a shared parameter
        cells.v: None,  # an initial state
        cells.theta: None,  # enters through the threshold only
        w_in.w: None,
        rec.w: bb.Dale(),  # matters only where an event arrives
        stim: None,  # values of a TimedArray
        "tau_syn": bb.Bounds(1 * ms, 20 * ms),  # constants of the namespace
        "v_rest": None,
    }
    found = gradients(net, train)
    shapes = {name: tuple(gradient.shape) for name, gradient in found.items()}
    assert shapes == {
        "cells.tau_m": (6,),
        "cells.R": (1,),
        "cells.v": (6,),
        "cells.theta": (6,),
        "w_in.w": (12,),
        "rec.w": (30,),
        "stim": (80,),
        "cells.tau_syn": (1,),
        "cells.v_rest": (1,),
    }
    for name, gradient in found.items():
        assert gradient.abs().max() > 0, name


def test_plastic_weights_are_trained_at_their_start():
    cells = NeuronGroup(3, "dv/dt = (1.2 - v)/(10*ms) : 1", threshold="v > 1", reset="v = 0", method="euler")
    cells.v = "rand()"
    plastic = Synapses(
        cells,
        cells,
        """w : 1
        da/dt = -a/(20*ms) : 1 (event-driven)""",
        on_pre="v_post += w; a += 0.01",
        on_post="w += a",
    )
    plastic.connect()
    plastic.w = 0.1
    surrogate = bb.Surrogate(bb.wrap(Network(cells, plastic), train={plastic.w: None}), bb.Box(width=1.0))
    records = surrogate(duration=50 * ms, record=[plastic.w])
    assert not torch.equal(records[plastic.w][0], records[plastic.w][-1])
    records[plastic.w][-1].sum().backward()
    (raw,) = surrogate.named_values().values()
    assert raw.grad.abs().min() > 0


def test_promoted_constant_is_bitwise_neutral():
    """Spikes and states in Brian2 itself do not change when constants become shared parameters."""
    net, *_ = small_network()
    original = bb.wrap(net)
    promoted = bb.wrap(net, train={"tau_syn": None, "v_rest": None, "sigma": None})
    assert "tau_syn" in original["cells"].constants and "tau_syn" not in promoted["cells"].constants
    assert promoted["cells"].values["tau_syn"].shape == ()
    noise = {"cells_stateupdater/0": np.random.randn(300, 6)}
    seen = []
    for model in (original, promoted):
        live = model.live()
        states = StateMonitor(live["cells"], ["v", "I_syn", "r"], record=True, dt=1 * ms)
        spikes = SpikeMonitor(live["cells"])
        live.network.add(states, spikes)
        freeze_noise(live.network, noise)
        live.network.run(300 * ms)
        seen.append([np.array(x) for x in (states.v_, states.I_syn_, states.r, spikes.i, spikes.t_)])
    assert len(seen[0][3]) > 20
    for before, after in zip(*seen):
        assert np.array_equal(before, after)


def test_a_constant_of_two_groups_is_one_parameter():
    one = NeuronGroup(2, "dv/dt = (1 - v)/tau : 1", name="one", method="euler")
    two = NeuronGroup(3, "dv/dt = (2 - v)/tau : 1", name="two", method="euler")
    names = {"tau": 10 * ms}
    model = bb.wrap(Network(one, two), train={"tau": bb.Bounds(1 * ms, 50 * ms)}, namespace=names)
    assert model.trainable[0].targets == (("one", "tau"), ("two", "tau"))
    surrogate = bb.Surrogate(model)
    assert list(surrogate.named_values()) == ["one.tau"]
    with torch.no_grad():
        surrogate.parameter[0].raw += 1
    values = surrogate.trained_model()
    assert values["one"].values["tau"] == values["two"].values["tau"] != 0.01


def test_a_name_that_means_two_things_is_refused():
    one = NeuronGroup(2, "dv/dt = -v/tau : 1", name="one", method="euler", namespace={"tau": 10 * ms})
    two = NeuronGroup(2, "dv/dt = -v/tau : 1", name="two", method="euler", namespace={"tau": 20 * ms})
    with pytest.raises(ValueError, match="'tau' means 0.01 in one, but 0.02 in two"):
        bb.wrap(Network(one, two), train={"tau": None})


def test_delays_are_refused_with_the_reason():
    net, _, _, rec, _ = small_network()
    for key in (rec.delay, rec.pre.delay, "rec.delay", "rec.pre.delay"):
        with pytest.raises(bb.Refused, match="rounds delays to whole time steps") as caught:
            bb.wrap(net, train={key: None})
        assert len(caught.value.refusals) == 1


def test_whole_numbers_and_truth_values_are_refused():
    net, cells, *_ = small_network()
    with pytest.raises(ValueError, match="cells.k holds whole numbers or truth values"):
        bb.wrap(net, train={cells.k: None})
    neurons = NeuronGroup(2, "dv/dt = -v*int(flag)/(10*ms) : 1", method="euler")
    with pytest.raises(ValueError, match="'flag' is True"):
        bb.wrap(Network(neurons), train={"flag": None}, namespace={"flag": True})


# -- constraints --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "constraint, says",
    [
        (bb.Bounds(5 * mV, 50 * mV), "cells.tau_m is in second, but its bounds are in volt"),
        (bb.Bounds(25 * ms, 50 * ms), "6 of 6 values are not between 25. ms and 50. ms"),
        (bb.Bounds(20 * ms, 50 * ms), "cells.tau_m starts on one of its bounds, 20. ms and 50. ms"),
        (bb.Dale(), r"Dale\(\) is for weights of Synapses"),
        (bb.Free(tie="j"), "tie='j' is not understood"),
        (bb.Free(tie=[0, 1]), "has 6 elements, but tie holds 2 labels"),
        (bb.Free(mask=np.ones(2, bool)), "has 6 elements, but its mask has 2"),
        (bb.Free(mask=np.zeros(6, bool)), "mask trains nothing"),
        (bb.Free(mask=[0, 1, 1, 1, 1, 1]), "array of True and False"),
        (bb.Free(unit=mV), "unit=mV does not fit|unit=1. mV does not fit"),
    ],
)
def test_constraints_that_do_not_fit(constraint, says):
    net, cells, *_ = small_network()
    with pytest.raises(ValueError, match=says):
        bb.wrap(net, train={cells.tau_m: constraint})


def test_weights_that_cannot_be_positive_or_of_one_sign():
    net, _, _, rec, _ = small_network()
    with pytest.raises(ValueError, match="rec.w .* the smallest is"):
        bb.wrap(net, train={rec.w: bb.Positive()})
    rec.w = "(1 - 2*int(j < 2))*pA"
    with pytest.raises(
        ValueError, match=r"6 neurons have weights of both signs \(neurons 0, 1, 2, 3, 4, \.\.\.\)"
    ):
        bb.wrap(net, train={rec.w: bb.Dale()})
    rec.w = "(1 - 2*int(i < 2))*pA"
    with pytest.raises(ValueError, match="joins weights of both signs"):
        bb.wrap(net, train={rec.w: bb.Dale(tie="j")})
    assert bb.wrap(net, train={rec.w: bb.Dale(tie="i")}).trainable


def test_impossible_bounds():
    with pytest.raises(ValueError, match="different units"):
        bb.Bounds(5 * ms, 5 * mV)
    with pytest.raises(ValueError, match="lower bound must be below"):
        bb.Bounds(5 * ms, 5 * ms)
    with pytest.raises(ValueError, match="choose one of 'projection', 'rectification', 'absolute'"):
        bb.Dale(by="magic")


# -- the gradient audit -------------------------------------------------------------------------------


def audited(equations, name, **arguments):
    cells = NeuronGroup(2, equations, method="euler", name="cells", **arguments)
    return bb.wrap(Network(cells), train={f"cells.{name}": None}, namespace={})


def refused(equations, name, **arguments):
    with pytest.raises(bb.Refused) as caught:
        audited(equations, name, **arguments)
    (refusal,) = caught.value.refusals
    assert refusal.object == "cells"
    return refusal.construct


def test_refractory_period_is_refused_with_its_line():
    construct = refused(
        "dv/dt = (2 - v)/(10*ms) : 1 (unless refractory)\nt_ref : second",
        "t_ref",
        threshold="v > 1",
        reset="v = 0",
        refractory="t_ref",
    )
    assert "timestep(t_ref" in construct
    assert "derivative is zero" in construct


def test_refractory_period_that_is_computed_is_refused_too():
    construct = refused(
        "dv/dt = (2 - v)/(10*ms) : 1 (unless refractory)\nt_ref : second",
        "t_ref",
        threshold="v > 1",
        reset="v = 0",
        refractory="2*t_ref + 1*ms",
    )
    assert "t_ref" in construct


def test_unused_parameter_is_refused():
    assert "no equation of the network depends on its value" in refused("dv/dt = -v/(5*ms) : 1\na : 1", "a")


@pytest.mark.parametrize(
    "expression", ["int(a > 0.5)", "floor(a)", "ceil(2*a)", "sign(a)", "(a // 2)", "int(3*a)/2.0"]
)
def test_parameter_behind_a_step_is_refused(expression):
    construct = refused(f"dv/dt = ({expression} - v)/(5*ms) : 1\na : 1", "a")
    assert "a" in construct and "enters only through" in construct


def test_parameter_behind_the_time_of_an_input_is_refused():
    table = TimedArray(np.arange(5.0), dt=1 * ms)
    construct = refused(
        "dv/dt = (table(t + shift) - v)/(5*ms) : 1\nshift : second", "shift", namespace={"table": table}
    )
    assert "table(" in construct


def test_sum_target_is_refused():
    net, cells, *_ = small_network()
    with pytest.raises(bb.Refused, match=r"overwritten in every step by the sum 'I_in_post = w\*u_pre'"):
        bb.wrap(net, train={cells.I_in: None})


@pytest.mark.parametrize(
    "equations, name, arguments",
    [
        ("dv/dt = (a - v)/(5*ms) : 1\na : 1", "a", {}),
        ("dv/dt = -v/(5*ms) : 1", "v", {}),  # an initial state that only matters to itself
        ("dv/dt = (2 - v)/(5*ms) : 1\nh : 1", "h", dict(threshold="v > h", reset="v = 0")),
        ("dv/dt = (2 - v)/(5*ms) : 1\nh : 1", "h", dict(threshold="v > 1 and v > h", reset="v = 0")),
        ("dv/dt = (2 - v)/(5*ms) : 1\nb : 1", "b", dict(threshold="v > 1", reset="v -= b")),
        ("dv/dt = (x - v)/(5*ms) : 1\nx = 2*y : 1\ny = a**2 : 1\na : 1", "a", {}),
        ("dv/dt = -v/(5*ms) : 1\ny = a*v : 1\na : 1", "a", {}),  # a subexpression that may be recorded
        ("dv/dt = -v*int(a > 0)*a/(5*ms) : 1\na : 1", "a", {}),
        ("dv/dt = (clip(a, 0, 1) - v)/(5*ms) : 1\na : 1", "a", {}),
    ],
)
def test_the_audit_accepts(equations, name, arguments):
    assert audited(equations, name, **arguments).trainable


def test_accepted_subexpression_has_a_gradient():
    model = audited("dv/dt = -v/(5*ms) : 1\ny = a*v : 1\na : 1", "a")
    surrogate = bb.Surrogate(model)
    surrogate(duration=1 * ms, record=["cells.y"], initial={"cells.v": 1.0})["cells.y"].sum().backward()
    assert surrogate.parameter[0].raw.grad.abs().min() > 0


def test_all_refusals_at_once():
    net, cells, _, rec, _ = small_network()
    with pytest.raises(bb.Refused) as caught:
        bb.wrap(net, train={rec.delay: None, cells.I_in: None, cells.tau_m: None})
    assert [refusal.object for refusal in caught.value.refusals] == ["rec", "cells"]
    assert "for 2 reasons" in str(caught.value)


# -- what Brian2 itself would refuse ------------------------------------------------------------------


@pytest.mark.parametrize(
    "equations, reset, says",
    [
        ("dv/dt = -v/tau : volt", "v = 0*mV", "Inconsistent units"),
        ("dv/dt = -v/(5*ms) : volt", "v = 0*ms", "does not have the expected unit"),
        ("dv/dt = (unknown - v)/(5*ms) : volt", "v = 0*mV", '"unknown" could not be resolved'),
    ],
)
def test_wrong_equations_are_refused_in_brian2s_words(equations, reset, says):
    cells = NeuronGroup(
        2, equations, threshold="v > 1*mV", reset=reset, method="euler", namespace={"tau": 5 * mV}
    )
    with pytest.raises(bb.Refused) as caught:
        bb.wrap(Network(cells), namespace={})
    assert says in str(caught.value)


def test_wrong_units_in_a_pathway():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : volt", threshold="v > 1*mV", reset="v = 0*mV", method="euler")
    links = Synapses(cells, cells, "w : 1", on_pre="v_post += w")
    links.connect()
    with pytest.raises(bb.Refused, match="inconsistent units"):
        bb.wrap(Network(cells, links))


def test_a_network_that_ran_goes_on_where_it_stands():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1", method="exact")
    cells.v = 1
    net = Network(cells)
    net.run(1 * ms)
    model = bb.wrap(net)
    assert model.time == 1e-3
    records = bb.Surrogate(model, dtype=torch.float64)(duration=1 * ms, record=[cells.v])
    assert float(records.time[0]) == pytest.approx(1e-3)
    assert records[cells.v][-1].numpy() == pytest.approx(np.exp(-2 / 5))


def test_a_network_that_ran_cannot_be_rebuilt_for_a_standalone_device():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1", method="exact")
    net = Network(cells)
    net.run(1 * ms)
    model = bb.wrap(net)
    with standalone(), pytest.raises(ValueError, match="starts at t = 0.001 s"):
        model.network()


def test_values_that_are_missing():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1\na : 1", method="euler")
    cells.a = [1, np.nan]
    with pytest.raises(bb.Refused, match="'a' starts with NaN"):
        bb.wrap(Network(cells))


def test_wrap_leaves_the_network_and_brian2_alone(capsys):
    BrianLogger.log_level_warn()
    try:
        net, cells, _, rec, stim = small_network()
        before = [np.array(x) for x in (cells.v_[:], rec.w_[:], stim.values)]
        random = np.random.get_state()[1].copy()
        prefs.codegen.target = "auto"
        bb.Surrogate(bb.wrap(net, train={"tau_syn": None, rec.w: None}))
        assert prefs.codegen.target == "auto"
    finally:
        prefs.codegen.target = "numpy"
        BrianLogger.log_level_error()
    assert np.array_equal(random, np.random.get_state()[1])
    for old, new in zip(before, (cells.v_[:], rec.w_[:], stim.values)):
        assert np.array_equal(old, new)
    assert "WARNING" not in capsys.readouterr().err
    net.run(5 * ms)  # still in working order


# -- order ties ---------------------------------------------------------------------------------------


def test_order_ties_are_warned_of():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1\nx : 1", method="euler", name="cells")
    other = NeuronGroup(2, "dy/dt = (u - y)/(5*ms) : 1\nu : 1 (linked)", method="euler", name="other")
    other.u = linked_var(cells, "v")
    cells.run_regularly("x = 2*v")
    cells.run_regularly("v = x")
    with pytest.warns(bb.OrderTie) as caught:
        bb.wrap(Network(cells, other))
    (warning,) = (w for w in caught if w.category is bb.OrderTie)
    assert warning.filename == __file__
    assert [(tie.first, tie.second) for tie in warning.message.ties] == [
        ("cells_run_regularly", "cells_run_regularly_1"),
        ("cells_stateupdater", "other_stateupdater"),
    ]
    text = str(warning.message)
    assert "cells_stateupdater changes cells.v, which other_stateupdater uses afterwards" in text
    assert "(both in slot 'groups', order 0)" in text
    assert "order= in NeuronGroup, Synapses or run_regularly" in text


def test_order_ties_in_a_model_file(tmp_path):
    path = tmp_path / "tied.toml"
    path.write_text("""
source = "a test"
dt = "0.5*ms"

[groups.cells]
n = 3
model = "dv/dt = -v/(5*ms) : 1"

[synapses.links]
source = "cells"
target = "cells"
model = "dw/dt = (v_post - w)/(5*ms) : 1 (clock-driven)"
connect = true
""")
    with pytest.warns(
        bb.OrderTie, match="cells_stateupdater changes cells.v, which links_stateupdater"
    ) as caught:
        bb.load(path)
    assert [w.filename for w in caught if w.category is bb.OrderTie] == [__file__]


def test_ordinary_networks_are_wrapped_without_a_warning():
    net, *_ = small_network()
    with warnings.catch_warnings():
        for category in (bb.OrderTie, bb.RoundedTimes):
            warnings.simplefilter("error", category)
        bb.wrap(net)
        bb.wrap(net, dt=1 * ms)
        bb.wrap(net, dt=0.5 * ms)
        bb.load("li2020", cells=5)


# -- another time step --------------------------------------------------------------------------------


def listed(dt, *objects, **names):
    """What is said about a time step other than 0.1 ms."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bb.wrap(Network(*objects), dt=dt, namespace=names)
    ours = [w for w in caught if w.category is bb.RoundedTimes]
    assert all([w.filename == __file__ for w in ours])
    return [change for w in ours for change in w.message.changes]


def spiking(refractory, n=4, name="cells", **options):
    return NeuronGroup(
        n,
        "dv/dt = (2 - v)/(5*ms) : 1\nref : second",
        threshold="v > 1",
        reset="v = 0",
        refractory=refractory,
        method="euler",
        name=name,
        **options,
    )


def connected(source, target, **options):
    links = Synapses(source, target, on_pre="v_post += 0.1", on_post="v_pre += 0.1", name="links", **options)
    links.connect()
    return links


def test_all_roundings_are_in_one_warning():
    cells = spiking(2.3 * ms)
    links = connected(cells, cells, delay=1.2 * ms)
    with pytest.warns(bb.RoundedTimes) as caught:
        model = bb.wrap(Network(cells, links), train={cells.v: None}, dt=0.5 * ms)
    assert model.dt == 0.5e-3
    (warning,) = (w for w in caught if w.category is bb.RoundedTimes)
    assert str(warning.message) == (
        "With steps of 0.5 ms instead of 0.1 ms, these times are rounded differently:\n"
        "  - cells: the refractory period of 2.3 ms becomes 2 ms\n"
        "  - links_pre: the delay of 1.2 ms becomes 1 ms"
    )


def test_delays_that_differ():
    cells = spiking(2 * ms)
    links = connected(cells, cells)
    links.pre.delay = "0.5*ms*i + 0.1*ms*j"
    links.post.delay = "0.7*ms*int(i == 0)"
    assert listed(0.5 * ms, cells, links) == [
        "links_pre: 12 of 16 delays change, the most where 0.2 ms becomes 0 ms",
        "links_post: 4 of 16 delays change, the most where 0.7 ms becomes 0.5 ms",
    ]
    assert listed(0.1 * ms, cells, links) == []


def test_each_group_has_its_own_step():
    cells, slow = spiking(2 * ms), spiking(4 * ms, name="slow", dt=0.4 * ms)
    links = connected(slow, cells, delay=1.3 * ms)
    assert listed(0.2 * ms, cells, slow, links) == [
        "links_pre: the delay of 1.2 ms becomes 1.6 ms",  # slow has steps of 0.8 ms now
    ]


def test_a_finer_step():
    cells = spiking(2.35 * ms)
    assert listed(0.05 * ms, cells) == ["cells: the refractory period of 2.3 ms becomes 2.35 ms"]


def test_refractory_periods_of_all_kinds():
    groups = [
        spiking("shared + 0.1*ms", name="a"),
        spiking("ref", name="b"),
        spiking("ref", name="c"),
        spiking("(1 + v)*ms", name="d"),
        spiking("1*ms + t/10", name="e"),
        spiking("1*ms + rand()*ms", name="f"),
        spiking("t - lastspike < 3.2*ms", name="g"),
        spiking("v > 0.5", name="h"),
        spiking("4*dt", name="i"),
    ]
    groups[1].ref = "i*0.2*ms"
    groups[2].run_regularly("ref = 2*ms")
    now = "every 0.5 ms instead of every 0.1 ms"
    assert listed(0.5 * ms, *groups, shared=1.7 * ms) == [
        "a: the refractory period of 1.8 ms becomes 1.5 ms",
        "b: 3 of 4 refractory periods change, the most where 0.4 ms becomes 0 ms",
        f"c: refractory='ref' depends on the state of the network; it may end {now}",
        f"d: refractory='(1 + v)*ms' depends on the state of the network; it may end {now}",
        f"e: refractory='1*ms + t/10' depends on the state of the network; it may end {now}",
        f"f: refractory='1*ms + rand()*ms' depends on the state of the network; it may end {now}",
        f"g: refractory='t - lastspike < 3.2*ms' is a condition on time, which is looked at {now}",
        "i: the refractory period of 0.4 ms becomes 2 ms",
    ]


def test_what_happens_at_regular_times():
    inputs = {
        name: TimedArray(np.ones(5), dt=dt)
        for name, dt in dict(slow=1 * ms, fast=0.2 * ms, odd=0.7 * ms).items()
    }
    cells = NeuronGroup(2, "dv/dt = (slow(t) + fast(t) + odd(t) - v)/ms : 1", method="euler", name="cells")
    cells.run_regularly("v += 0.1", dt=1 * ms)
    cells.run_regularly("v += 0.1", dt=0.7 * ms)
    cells.run_regularly("v += 0.1", dt=0.2 * ms)
    cells.run_regularly("v += 0.1")
    poisson = PoissonGroup(2, [1, 3] * kHz, name="poisson")
    steps = "the steps of cells (every 0.5 ms)"
    assert listed(0.5 * ms, cells, poisson, **inputs) == [
        f"cells_run_regularly_1: it runs every 0.7 ms, between {steps}",
        f"cells_run_regularly_2: it runs every 0.2 ms, more often than {steps}",
        "poisson: a rate of 3000 Hz would be more than one spike every 0.5 ms",
        f"fast: some values are skipped: they change every 0.2 ms, more often than {steps}",
        f"odd: its values change every 0.7 ms, between {steps}",
    ]


@pytest.mark.parametrize(
    "times, period, says",
    [
        ([1, 1.2, 1.3], 0, "its neuron 0 spikes at 1 ms and at 1.3 ms, twice in one step of 0.5 ms"),
        ([1, 1.2, 2], 2.2, "its period of 2.2 ms is no multiple of 0.5 ms"),
        ([1, 1.2, 3], 3.2, "its period of 3.2 ms is no multiple of 0.5 ms"),
    ],
)
def test_spikes_that_do_not_fit_into_a_step(times, period, says):
    given = SpikeGeneratorGroup(2, [0, 1, 0], times * ms, period=period * ms, name="given")
    unknown = NeuronGroup(2, "dv/dt = (missing - v)/ms : 1", method="euler", name="unknown")
    with pytest.raises(bb.Refused) as caught:
        bb.wrap(Network(given, unknown), dt=0.5 * ms, namespace={})
    assert [refusal.object for refusal in caught.value.refusals] == ["given", "unknown_stateupdater"]
    assert says in str(caught.value)


def test_what_stands_in_the_way_of_a_step():
    cells = NeuronGroup(2, "v : 1", name="cells")
    kicks = PoissonInput(cells, "v", 10, 3 * kHz, weight=0.1)
    net = Network(cells, kicks)
    net.run(0.7 * ms)
    with pytest.raises(bb.Refused) as caught:
        bb.wrap(net, dt=0.5 * ms)
    assert [refusal.construct for refusal in caught.value.refusals] == [
        "it stands at 0.7 ms, which is between two steps of 0.5 ms",
        "its rate of 3000 Hz is more than one event every 0.5 ms",
    ]


@pytest.mark.parametrize(
    "dt, says",
    [
        (0.5, "dt=0.5 is not a time"),
        (3 * mV, "is not a time; write for example dt=0.5"),
        (-1 * ms, "is not a positive time"),
        (0 * ms, "is not a positive time"),
        (np.inf * ms, "is not a positive time"),
        ("0.5*ms", "dt='0.5.ms' is not one time step"),
        ([0.1, 0.2] * ms, "is not one time step"),
    ],
)
def test_a_step_that_is_none(dt, says):
    with pytest.raises(ValueError, match=says):
        bb.wrap(Network(NeuronGroup(2, "v : 1")), dt=dt)
