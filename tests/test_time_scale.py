"""Slower networks: the same course on a stretched time axis, in the surrogate and in Brian2."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb


def network(drift="(v_rest - v + I + boost)/tau_m", jump="s += w*(1*ms)/tau", reset="r += charge", **names):
    names = dict(v_rest=1.2 * mV, sigma=0.3 * mV / sqrt(ms), tau_b=30 * ms, pace=0.1 / ms) | names
    cells = NeuronGroup(
        10,
        f"""dv/dt = {drift} + sigma*xi : volt (unless refractory)
        dr/dt = -r/tau_r : 1
        du/dt = (v - u)*rate : volt
        db/dt = -pace*b + 0.1*sqrt(2*pace)*xi_b : 1
        charge = 1*ms/tau_r : 1
        boost = 1*mV*b : volt
        I : volt
        tau_m : second (constant)
        tau_r : second (constant)
        rate : Hz (constant)""",
        threshold="v > 1*mV",
        reset=f"v = 0*mV; {reset}",
        refractory=2 * ms,
        method="euler",
        namespace=names,
        name="cells",
        dt=0.5 * ms,
    )
    cells.v, cells.tau_m, cells.tau_r, cells.rate = "1*mV*rand()", "10*ms + 5*ms*rand()", 20 * ms, 50 * Hz
    rec = Synapses(
        cells,
        cells,
        """ds/dt = -s/tau : volt (clock-driven)
        I_post = s : volt (summed)
        w : volt
        tau : second (constant)""",
        on_pre=jump,
        delay=1.5 * ms,
        method="euler",
        namespace=names,
        name="rec",
        dt=0.5 * ms,
    )
    rec.connect(p=0.5)
    rec.w, rec.tau = "20*mV*(rand() - 0.4)", "5*ms + 10*ms*rand()"
    return Network(cells, rec)


TIMES = ("cells.tau_m", "cells.tau_r", "cells.rate", "rec.tau", "pace", "cells.refractory", "rec.delay")


@pytest.mark.parametrize("factor", [3, 0.5])
def test_the_same_steps_in_slow_motion(factor):
    """With all times and dt stretched and the same random numbers, every step is the same."""
    model = bb.wrap(network())
    slow = bb.rescale_time(model, factor, *TIMES, dt=True)
    assert slow.kept == ()
    assert slow.model.dt == pytest.approx(factor * 0.5e-3)
    record = ["cells", "cells.v", "cells.r", "cells.u", "cells.b", "rec.s"]
    one = bb.Surrogate(model, dtype=torch.float64)(duration=100 * ms, record=record, seed=1)
    noise = {key: value for key, value in one.noise.items()}
    other = bb.Surrogate(slow.model, dtype=torch.float64)(
        duration=factor * 100 * ms, record=record, noise=noise
    )
    assert one["cells"].sum() > 30 and torch.equal(one["cells"], other["cells"])
    for name in record[1:]:
        assert one[name].abs().max() > 0
        torch.testing.assert_close(one[name], other[name], rtol=1e-8, atol=1e-12)


def test_the_same_spikes_in_slow_motion_in_brian2():
    model = bb.wrap(network(sigma=0 * mV / sqrt(ms)), train={"pace": None}).with_values({})
    quiet = bb.rescale_time(model, 3, *TIMES, dt=True).model
    times = []
    for each, duration in ((model, 100 * ms), (quiet, 300 * ms)):
        net = each.with_values({("cells", "b"): np.zeros(10)}).network()
        monitor = SpikeMonitor(net["cells"])
        net.add(monitor)
        seed(3)
        net.run(duration, namespace={})
        times.append((np.array(monitor.i), np.array(monitor.t)))
    assert len(times[0][0]) > 30
    assert np.array_equal(times[0][0], times[1][0])
    np.testing.assert_allclose(3 * times[0][1], times[1][1])


def test_what_goes_with_it_in_the_published_model():
    """Li, Kim & Sejnowski's network, with its three kinds of time constants three times as long."""
    model = bb.load("li2020", cells=20)
    slow = bb.rescale_time(model, 3, "cells.tau_m", "cells.tau_r", "rec.tau")
    np.testing.assert_allclose(slow.model["rec"].values["tau"], 3 * model["rec"].values["tau"])
    assert np.array_equal(slow.model["rec"].values["w"], model["rec"].values["w"])
    bounds = {t.name: t.constraint for t in slow.model.trainable if isinstance(t.constraint, bb.Bounds)}
    assert bounds["rec.tau"].high / ms == pytest.approx(300) and bounds["cells.R"].high == 1000 * Mohm
    live, before = slow.model.live(), model.live()
    noise, charge = [], []
    for net in (before, live):
        seed(0)
        net["cells"].v, net["cells"].R = -1 * volt, 0 * ohm
        net["cells"].theta = 1 * volt
        net.network.run(1 * ms, namespace={})
        tau = net["cells"].tau_m_[:]
        noise.append((net["cells"].v_[:] + 1 - 1e-3 / tau * (net["cells"].v_rest_[:] + 1)) * np.sqrt(tau))
        net["cells"].theta = -2 * volt  # all spike
        net.network.run(1 * ms, namespace={})
        charge.append(np.array(net["rec"].s_[:]))
    np.testing.assert_allclose(noise[1], noise[0], rtol=1e-6)  # the stationary spread is noise*sqrt(tau/2)
    np.testing.assert_allclose(charge[1], charge[0], rtol=1e-9)
    assert np.abs(charge[0]).max() > 0


def test_the_account():
    model = bb.wrap(network())
    slow = bb.rescale_time(model, 4, "cells.tau_m", "rec.tau")
    assert slow.scaled == ("cells.tau_m", "rec.tau")
    assert slow.kept == ("cells.b", "cells.r", "cells.u")
    noise, jump = slow.changed
    assert "sigma*xi" in noise and "(0.5*xi)" in noise
    assert jump == "rec: s += w*(1*ms)/tau  ->  s += 4.0*(w*(1*ms)/tau)"
    assert "kept:    cells.b, cells.r, cells.u" in str(slow) and "scaled:  cells.tau_m, rec.tau" in str(slow)
    same = bb.rescale_time(model, 2, "pace")  # noise that holds its rate follows by itself
    assert same.changed == () and same.model["cells"].constants["pace"].value == pytest.approx(50)


def test_charge_that_the_target_computes():
    """``charge`` of the cells is 1 ms/tau_r: named here through the other group's tau_r."""
    model = bb.wrap(network(jump="r_post += charge_post*w/volt", reset="r += 2*charge"))
    slow = bb.rescale_time(model, 3, "cells.tau_r")
    assert slow.changed == (
        "cells: r += 2*charge  ->  r += 3.0*(2*charge)",
        "rec: r_post += charge_post*w/volt  ->  r_post += 3.0*(charge_post*w/volt)",
    )


@pytest.mark.parametrize(
    "options, names, message",
    [
        ({}, ["rec.w"], "rec.w is in volt: only times"),
        ({}, [], "name the time constants"),
        (
            dict(drift="(v_rest - v)/tau_m + I/tau_b"),
            ["cells.tau_m"],
            "cells: in dv/dt .*term I/tau_b does not",
        ),
        (dict(jump="s = w*(1*ms)/tau"), ["rec.tau"], "rec: 's = w.* cannot be rescaled"),
        (dict(jump="s += w*(1 - exp(-(1*ms)/tau))"), ["rec.tau"], "rec: 's \\+= w.* cannot be rescaled"),
        (dict(reset="u += 1*mV*(1*ms)/tau_r"), ["cells.tau_r"], "cells: 'u \\+= 1.* cannot be rescaled"),
    ],
)
def test_what_cannot_be_rescaled(options, names, message):
    model = bb.wrap(network(**options))
    with pytest.raises(ValueError, match=message):
        bb.rescale_time(model, 3, *names)


def test_names_and_factors_that_make_no_sense():
    model = bb.wrap(network())
    with pytest.raises(ValueError, match="the factor is 0"):
        bb.rescale_time(model, 0, "cells.tau_m")
    with pytest.raises(bb.model.naming.UnknownName, match="cells has no variable 'tau_x'"):
        bb.rescale_time(model, 3, "cells.tau_x")
    with pytest.raises(bb.model.naming.UnknownName, match="cells.charge is computed"):
        bb.rescale_time(model, 3, "cells.charge")
