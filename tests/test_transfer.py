"""What another network has learned, in a network with other inputs and outputs."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb

RATES = "(1 - 2*int(i < 3))*0.2*mV*rand()"


def network(inputs=2, outputs=1, cells=8, unit="volt", p=0.5, tau=5 * ms, **shared):
    names = dict(stim=TimedArray(np.zeros((30, inputs)), dt=1 * ms), tau_syn=tau)
    source = NeuronGroup(inputs, "u = stim(t, i) : 1", namespace=names, name="source")
    group = NeuronGroup(
        cells,
        f"""dv/dt = (1.3*mV + I_rec + I_in - v)/tau_m : volt
        dI_rec/dt = -I_rec/tau_syn : volt
        dr/dt = -r/(20*ms) : 1
        I_in : volt
        tau_m : second (constant)
        extra : {unit}""",
        threshold="v > 1*mV",
        reset="v = 0*mV; r += 1",
        method="euler",
        namespace=names,
        name="cells",
    )
    group.v, group.tau_m = "1*mV*rand()", "10*ms + 5*ms*rand()"
    out = NeuronGroup(outputs, "o : 1", name="out")
    w_in = Synapses(
        source, group, "w : volt\nI_in_post = w*u_pre : volt (summed)", name="w_in", namespace=names
    )
    rec = Synapses(group, group, "w : volt", on_pre="I_rec_post += w", name="rec", **shared)
    w_out = Synapses(group, out, "w : 1\no_post = w*r_pre : 1 (summed)", name="w_out", namespace=names)
    for synapses, probability in ((w_in, 1), (rec, p), (w_out, 1)):
        synapses.connect(p=probability)
    w_in.w, rec.w, w_out.w = "mV*rand()", RATES, "randn()"
    return Network(source, group, out, w_in, rec, w_out)


TRAIN = {"rec.w": bb.Dale(), "cells.tau_m": bb.Bounds(5 * ms, 50 * ms), "w_in.w": None, "w_out.w": None}


def trained(net=None, **more):
    surrogate = bb.Surrogate(bb.wrap(net or network(), train=TRAIN | more))
    with torch.no_grad():
        for raw in surrogate.named_values().values():
            raw *= 1.1
    return bb.Trained(surrogate.trained_model())


def spikes(model):
    net = model.network()
    monitor = SpikeMonitor(net["cells"])
    net.add(monitor)
    net.run(50 * ms, namespace={})
    return np.array(monitor.i), np.array(monitor.t)


def test_other_inputs_and_outputs():
    """The recurrent part goes over with its connections, and in Brian2 it fires as before."""
    old = trained(tau_syn=None)
    new = bb.wrap(network(inputs=5, outputs=2), train=TRAIN)
    assert not np.array_equal(new["rec"].i, old.model["rec"].i)
    moved = bb.transfer(old, new)
    assert {"rec.w", "cells.tau_m", "cells.v", "cells.tau_syn"} <= set(moved.taken)
    assert moved.new == {
        "source": "which has 5 neurons, not 2",
        "out": "which has 2 neurons, not 1",
        "w_in": "whose source has 5 neurons, not 2",
        "w_out": "whose target has 2 neurons, not 1",
    }
    assert moved.left == ("w_in.w", "w_out.w")
    assert "taken: " in str(moved) and "new:   w_in, whose source has 5 neurons, not 2" in str(moved)
    for name in ("i", "j"):
        assert np.array_equal(getattr(moved.model["rec"], name), getattr(old.model["rec"], name))
    assert moved.model["cells"].constants["tau_syn"].value == pytest.approx(5.5e-3)
    before, times = spikes(old.model)
    after, later = spikes(moved.model)
    assert len(before) > 20 and np.array_equal(before, after) and np.array_equal(times, later)
    untouched, _ = spikes(new)
    assert not np.array_equal(before, untouched)
    assert set(bb.Surrogate(moved.model).named_values()) == set(TRAIN)


def test_a_constant_that_is_trained_here_only():
    moved = bb.transfer(trained(network(tau=7 * ms)), bb.wrap(network(), train={"tau_syn": None}))
    assert "cells.tau_syn" in moved.taken
    assert bb.Surrogate(moved.model).values()["cells", "tau_syn"].item() == pytest.approx(7e-3)


def test_only_what_is_named():
    old, net = trained(network(p=1)), network(p=1)
    new = bb.wrap(net, train=TRAIN)
    moved = bb.transfer(old, new, only=[net["rec"].w, "cells.tau_m"])
    assert set(moved.taken) == {"rec.w", "cells.tau_m"}
    assert np.array_equal(moved.model["w_in"].values["w"], new["w_in"].values["w"])
    assert np.array_equal(moved.model["rec"].values["w"], old.model["rec"].values["w"])
    with pytest.raises(ValueError, match="w_in, whose source has 3 neurons, not 2, cannot be taken"):
        bb.transfer(old, bb.wrap(network(inputs=3), train=TRAIN), only=["w_in.w"])
    with pytest.raises(bb.model.naming.UnknownName, match="no variable 'x'"):
        bb.transfer(old, new, only=["rec.x"])


def test_what_does_not_fit_is_named():
    old = trained()
    moved = bb.transfer(old, bb.wrap(network(unit="amp"), train=TRAIN))
    assert moved.new == {"cells.extra": "which is in amp, not volt"}
    other = NeuronGroup(3, "dv/dt = -v/(10*ms) : 1", name="cells")
    with pytest.raises(ValueError, match="Nothing .* fits this model: cells, which has 3 neurons, not 8"):
        bb.transfer(old, bb.wrap(Network(other)))
    with pytest.raises(ValueError, match="cells.tau_m does not start inside its bounds"):
        bb.transfer(old, bb.wrap(network(), train={"cells.tau_m": bb.Bounds(9.99 * ms, 15.1 * ms)}))


@pytest.mark.filterwarnings("ignore:rec.w starts from the best")
def test_weights_of_low_rank_keep_their_modes():
    old = trained(network(p=1), **{"rec.w": bb.LowRank(2)})
    for modes in (2, 1):
        new = bb.wrap(network(p=1, inputs=3), train=TRAIN | {"rec.w": bb.LowRank(modes)})
        moved = bb.transfer(old, new).model
        constraint = moved.trainable[0].constraint
        assert constraint.modes == modes
        if modes == 2:
            assert np.array_equal(constraint.xi_in, old.model.trainable[0].constraint.xi_in)
            assert np.array_equal(moved["rec"].values["w"], old.model["rec"].values["w"])
        rec = moved["rec"]
        np.testing.assert_allclose(constraint.matrix()[rec.j, rec.i], rec.values["w"], rtol=1e-9)


def test_delays_go_with_the_connections():
    net = network()
    net["rec"].delay = "5*ms*rand()"
    old = trained(net)
    moved = bb.transfer(old, bb.wrap(network(inputs=3), train=TRAIN)).model
    assert np.array_equal(moved["rec"].pathways[0].delay, old.model["rec"].pathways[0].delay)
    assert np.array_equal(spikes(old.model)[1], spikes(moved)[1])
