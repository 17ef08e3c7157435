"""Dense projections run over grids: whatever the connectivity, the gradients are those of the eager step."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import Box, FastSigmoid
from tests.agreement.backends import assert_gradients_agree
from tests.agreement.differentiation import trained

STEPS = 20
SLOPE = FastSigmoid(width=0.3, height=0.3)
RECORD = ["target.v", "target.x", "target"]
CONNECTED = ["full", "a fifth", "two in a hundred", "one row", "one column", "several", "in another order"]
SOME = ["full", "a fifth"]
SOME += [pytest.param(kind, marks=pytest.mark.slow) for kind in ("one column", "in another order")]


def neurons(n, name, unless=""):
    cells = NeuronGroup(
        n,
        f"""dv/dt = (drive - v + I)/tau : 1{unless}
        dx/dt = (0.3*gain - x)/(4*ms) : 1
        gain : 1 (constant)
        drive : 1 (constant)
        tau : second (constant)
        I : 1""",
        threshold="v > 1",
        reset="v = 0",
        refractory=0.7 * ms,
        method="euler",
        name=name,
    )
    cells.v, cells.drive, cells.tau = "0.9*rand()", "1.1 + 0.4*rand()", "(3 + 2*rand())*ms"
    cells.x, cells.gain = "0.2*rand()", "0.5 + rand()"
    return cells


def pairs(kind, n, m):
    """Sources and targets of all synapses."""
    generator = np.random.default_rng(5)
    p = {"a fifth": 0.2, "two in a hundred": 0.02}.get(kind, 1)
    i, j = np.nonzero(generator.random((n, m)) < p)
    if kind == "several":
        i, j = np.repeat(i, 2), np.repeat(j, 2)
    if kind == "in another order":
        order = generator.permutation(len(i))
        i, j = i[order], j[order]
    return i, j


def network(kind, synapses, on_pre=None, unless="", delay=0):
    n, m = {"one row": (1, 11), "one column": (11, 1)}.get(kind, (19, 13))
    source, target = neurons(n, "source"), neurons(m, "target", unless)
    there = Synapses(source, target, synapses, on_pre=on_pre, name="there")
    i, j = pairs(kind, n, m)
    there.connect(i=i, j=j)
    if on_pre:
        there.delay = delay * ms
    there.w = 0.4 * (np.random.rand(len(i)) - 0.4)
    targets = [("there", "w"), ("source", "drive"), ("source", "v"), ("target", "tau")]
    targets += [("source", "gain"), ("target", "gain")]
    return trained(Network(source, target, there), *targets)


def grids_of(model, gradient=SLOPE):
    """The grids over which a kernel with gradients runs."""
    surrogate = Surrogate(model, gradient, dtype=torch.float64, backend="compiled")
    surrogate(duration=surrogate.dt, record=RECORD)
    (kernel,) = surrogate._backend.kernels.values()
    return {grid for _, grid in kernel.tables.grid_constants}


def check(model, full=None, gradient=SLOPE, batch=30):
    """The same gradients, over a grid that is full or not; None for a list of synapses.

    There are more trials than a thread takes together: enough for products of the synapses alone.
    """
    assert {grid.full for grid in grids_of(model, gradient)} == ({full} - {None})
    assert_gradients_agree(model, gradient, RECORD, STEPS, batch=batch)


EVENTS = {"full": True, "a fifth": False, "one row": True, "in another order": True}
WITHOUT_HOLES = {"full": True, "one row": True, "in another order": True}
SUMS = EVENTS | {"one column": True}  # of which a column may be a row


@pytest.mark.parametrize("kind", CONNECTED)
def test_events(kind):
    check(network(kind, "w : 1 (constant)", "v_post += w"), EVENTS.get(kind))


@pytest.mark.parametrize("kind, batch", [("full", 1), ("full", 7), ("a fifth", 2), ("a fifth", 8)])
def test_delayed_events_and_a_compact_spike_gradient(kind, batch):
    model = network(kind, "w : 1 (constant)", "v_post += w", delay=0.5)
    check(model, EVENTS[kind], Box(width=0.5, height=0.5), batch)


@pytest.mark.parametrize("kind", SOME)
def test_events_at_refractory_targets(kind):
    """What a refractory neuron does not integrate, it does not get either."""
    on_pre = "v_post += w*int(not_refractory_post)"
    check(network(kind, "w : 1 (constant)", on_pre, " (unless refractory)"), WITHOUT_HOLES.get(kind))


@pytest.mark.parametrize("kind", SOME)
def test_events_with_values_of_both_ends(kind):
    """Over a grid with holes there is nothing but sums and products: tanh might have been 1/x."""
    model = network(kind, "w : 1 (constant)", "x_post += w*gain_post*tanh(v_pre)", delay=0.2)
    check(model, WITHOUT_HOLES.get(kind))
    model = network(kind, "w : 1 (constant)", "x_post += w*gain_post*v_pre", delay=0.2)
    check(model, EVENTS.get(kind))


@pytest.mark.parametrize("kind", ["full", "a fifth", "in another order"])
def test_events_with_random_numbers(kind):
    """They are drawn for each synapse, not for each place of a grid."""
    model = network(kind, "w : 1 (constant)", "v_post += w*rand()")
    check(model, {"full": True}.get(kind))


@pytest.mark.parametrize("part", [slice(4, 19), slice(3, 11)])
def test_subgroups(part):
    """Some neurons of the source, first or last ones, have no row."""
    source, target = neurons(19, "source"), neurons(13, "target")
    there = Synapses(source[part], target[1:12], "w : 1 (constant)", on_pre="v_post += w", name="there")
    rate = Synapses(
        source[part],
        target[2:],
        "g : 1 (constant)\nI_post = g*x_pre : 1 (summed)",
        on_post="x_pre += g",
        name="rate",
    )
    there.connect()
    rate.connect()
    there.w, rate.g = "0.3*(rand() - 0.3)", "0.3*rand()"
    targets = [("there", "w"), ("rate", "g"), ("source", "drive"), ("target", "tau")]
    model = trained(Network(source, target, there, rate), *targets)
    assert grids_of(model)
    assert_gradients_agree(model, SLOPE, [*RECORD, "source.v", "source.x"], STEPS, batch=11)


@pytest.mark.parametrize("kind", CONNECTED)
@pytest.mark.parametrize("term", ["w*x_pre", "w*x_pre*gain_pre"])
def test_sums(term, kind):
    check(network(kind, f"w : 1 (constant)\nI_post = {term} : 1 (summed)"), SUMS.get(kind))


@pytest.mark.parametrize("kind", SOME)
def test_sums_of_differences(kind):
    """Gap junctions: every synapse reads both ends."""
    check(
        network(kind, "w : 1 (constant)\nI_post = w*(v_pre - v_post)*gain_post : 1 (summed)"), SUMS.get(kind)
    )


@pytest.mark.parametrize("term", ["exp(w*x_pre)", "w + x_pre", "x_pre"])
def test_terms_that_do_not_vanish_without_a_synapse(term):
    """Where there is no synapse there is no term: such a sum does not run over a grid with holes."""
    model = network("a fifth", f"w : 1 (constant)\nI_post = 0.1*({term}) + 0*w : 1 (summed)")
    check(model, None)


def test_delays_that_differ_need_the_list_of_synapses():
    i, _ = pairs("full", 19, 13)
    check(network("full", "w : 1 (constant)", "v_post += w", delay=0.1 * (i % 3)), None)


@pytest.mark.parametrize("n, m, each", [(784, 4, 100), (1000, 1, 100)])
def test_more_sources_than_synapses(n, m, each):
    """Pixels without a state of their own: nothing else is as long as a row of the grid."""
    image = {"image": TimedArray(np.random.rand(2, n), dt=1 * ms)}
    pixels = NeuronGroup(n, "u = image(t, i) : 1", name="pixels")
    cells = NeuronGroup(m, "dv/dt = (I - v)/(5*ms) : 1\nI : 1", method="euler", name="cells")
    weights = Synapses(pixels, cells, "w : 1 (constant)\nI_post = w*u_pre : 1 (summed)", name="weights")
    seen = [np.random.permutation(n)[:each] for _ in range(m)]
    weights.connect(i=np.concatenate(seen), j=np.repeat(np.arange(m), each))
    weights.w = "rand()/100"
    model = trained(Network(pixels, cells, weights), ("weights", "w"), namespace=image)
    assert_gradients_agree(model, None, ["cells.v"], STEPS, batch=5)


@pytest.mark.parametrize("kind, index", [("full", "i"), ("a fifth", "i % 3")])
@pytest.mark.parametrize(
    "synapses, on_pre",
    [
        ("I_post = w*x_pre*gate_post : 1 (summed)", None),
        ("I_post = w*gate_pre : 1 (summed)", None),
        ("I_pre = w*gate_post*x_post : 1 (summed)", None),
        ("", "v_post += w*gate_post"),
        ("", "v_post += w*gate_post*gate_pre"),
    ],
)
def test_timed_inputs_of_both_ends(kind, index, synapses, on_pre):
    """Several neurons may read one column of an input, and its gradient is the sum of theirs."""
    values = 0.5 + np.random.rand(4, 19)
    space = {"timed": TimedArray(values, dt=0.5 * ms)}
    source, target = (
        NeuronGroup(
            n,
            f"""dv/dt = (1 + x + I - v)/(3*ms) : 1
            x : 1
            gate = timed(t, {index}) : 1
            I : 1""",
            threshold="v > 1",
            reset="v = 0",
            method="euler",
            name=name,
        )
        for n, name in ((19, "source"), (13, "target"))
    )
    for group in (source, target):
        group.v, group.x = "0.9*rand()", "rand()"
    there = Synapses(source, target, f"w : 1 (constant)\n{synapses}", on_pre=on_pre, name="there")
    i, j = pairs(kind, 19, 13)
    there.connect(i=i, j=j)
    there.w = 0.4 * (np.random.rand(len(i)) - 0.4)
    model = trained(Network(source, target, there), ("there", "w"), ("source", "x"), namespace=space)
    assert len(grids_of(model)) > 0
    given = torch.tensor(values).requires_grad_()
    found = {}
    for backend in ("compiled", "eager"):
        surrogate = Surrogate(model, SLOPE, dtype=torch.float64, backend=backend)
        records = surrogate(
            duration=STEPS * surrogate.dt,
            record=["source.v", "target.v"],
            inputs={"timed": given[:, None].expand(-1, 4, -1)},
            seed=3,
        )
        loss = (records["source.v"] ** 2).sum() + (records["target.v"] ** 3).sum()
        found[backend] = torch.autograd.grad(loss, [given, *surrogate.parameters()])
    for ours, expected in zip(found["compiled"], found["eager"]):
        assert (ours - expected).abs().max() <= 1e-9 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
def test_trials_and_threads_change_nothing(dtype):
    """Whether a thread takes so many trials that it looks up the synapses, or so few that it does not."""
    source, target = neurons(190, "source"), neurons(130, "target")
    there = Synapses(source, target, "w : 1 (constant)\nI_post = w*x_pre : 1 (summed)", name="there")
    i, j = np.nonzero(np.random.default_rng(2).random((190, 130)) < 0.18)
    there.connect(i=i, j=j)
    there.w = np.random.randn(len(i))
    model = trained(Network(source, target, there), ("there", "w"))
    surrogate = Surrogate(model, SLOPE, dtype=dtype, backend="compiled")
    found, threads = [], torch.get_num_threads()
    for number, batch in ((1, 20), (2, 20), (4, 20), (2, 3)):
        torch.set_num_threads(number)
        records = surrogate(duration=STEPS * surrogate.dt, record=["target.I"], seed=3, batch=batch)
        found.append(records["target.I"][:, :3].detach())
    torch.set_num_threads(threads)
    for other in found[1:]:
        assert torch.equal(other, found[0])
