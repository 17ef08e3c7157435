"""Model files against the published discrete updates, written down once more in numpy, step by step.

The loops are in the units of the papers (mV, ms, and so on), with full matrices (postsynaptic, presynaptic).
"""

import numpy as np
import pytest
import torch
from brian2 import Quantity

import brianbridge as bb

CLOSE = 1e-9  # of a variable's range


def matrix(model, name, unit=1.0, variable="w", empty=0.0):
    synapses = model[name]
    full = np.full((model[synapses.target[0]].n, model[synapses.source[0]].n), empty)
    full[synapses.j, synapses.i] = synapses.values[variable] / unit
    return full


def simulate(model, inputs, record, initial=None):
    """One trial in the exact mode; also the random numbers of every step."""
    surrogate = bb.Surrogate(model, dtype=torch.float64, exact=True)
    inputs = {name: values[:, np.newaxis] for name, values in inputs.items()}
    initial = {name: Quantity(values, dim=model.dimensions(tuple(name.split("."))))
               for name, values in (initial or {}).items()}  # fmt: skip
    with torch.no_grad():
        records = surrogate(inputs, record=record, initial=initial, seed=1)
    noise = {key: values[:, 0].numpy() for key, values in records.noise.items()}
    return {name: records[name][:, 0].numpy() for name in record}, noise


def same_spikes(found, expected, at_least=50):
    assert expected.sum() > at_least
    assert np.array_equal(found, expected)


def close(found, expected):
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0
    assert np.abs(found - expected).max() < CLOSE * np.ptp(expected)


def stepwise(loop):
    """What a loop yields in every step, as arrays."""
    return map(np.array, zip(*loop))


# -- Li, Kim & Sejnowski 2020 -------------------------------------------------------------------------


def li2020(p, inputs, noise):
    """Eqs. 9-15; dt = 1 ms, noise of 5 mV per step, currents in pA, resistances in Gohm."""
    v, s, r = p["v_rest"], np.zeros_like(p["W"]), np.zeros(len(p["v_rest"]))
    for u, eta in zip(inputs, noise):
        current = s.sum(axis=1) + p["W_in"] @ u
        v = v + (-(v - p["v_rest"]) + current * p["R"]) / p["tau_m"] + 5 * eta
        z = (v > p["theta"]).astype(float)
        v = v + (p["v_rest"] + p["ahp"] - v) * z
        s = s + (-s + p["W"] * z) / p["T"]
        r = r + (-r + z) / p["tau_r"]
        yield v, current, z, p["W_out"] @ r


def test_li2020():
    model = bb.load("li2020", cells=30, seed=2)
    model = model.with_values({("rec", "w"): 30 * model["rec"].values["w"]})  # recurrence that matters
    units = dict(v_rest=1e-3, theta=1e-3, ahp=1e-3, tau_m=1e-3, tau_r=1e-3, R=1e9)
    p = {name: model["cells"].values[name] / unit for name, unit in units.items()}
    p |= dict(W=matrix(model, "rec", 1e-12), T=matrix(model, "rec", 1e-3, "tau", empty=1.0))
    p |= dict(W_in=matrix(model, "w_in", 1e-12), W_out=matrix(model, "w_out"))
    u = np.random.randn(500, 4) + 0.5
    found, noise = simulate(model, {"stimulus": u}, ["cells.v", "cells.I", "cells", "out.o"])
    v, current, spikes, output = stepwise(li2020(p, u, noise["cells_stateupdater/0"]))
    same_spikes(found["cells"], spikes)
    close(found["cells.v"] / 1e-3, v)
    close(found["cells.I"] / 1e-12, current)
    close(found["out.o"][1:], output[:-1])  # read out one step later, through `summed`


# -- Kim & Sejnowski 2019 -----------------------------------------------------------------------------


def kim2019_rate(p, x, inputs, noise):
    """Steps of 5 ms; noise of variance 0.01 in every step."""
    for u, eta in zip(inputs, noise):
        alpha = 5 / p["tau"]
        x = (1 - alpha) * x + alpha * (p["W"] @ logistic(x) + p["W_in"] @ u) + 0.1 * eta
        yield x, p["W_out"] @ logistic(x) + p["b"]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_kim2019_rate():
    model = bb.load("kim2019_rate", cells=30, seed=2)
    model = model.with_values({("out", "b"): np.array([0.3])})
    x, u = 0.01 * np.random.randn(30), np.random.randn(200, 2)
    p = dict(tau=model["cells"].values["tau"] / 1e-3, b=0.3)
    p |= dict(W=matrix(model, "rec"), W_in=matrix(model, "w_in"), W_out=matrix(model, "w_out"))
    found, noise = simulate(model, {"stimulus": u}, ["cells.x", "out.o"], {"cells.x": x})
    expected, output = stepwise(kim2019_rate(p, x, u, noise["cells_stateupdater/0"]))
    close(found["cells.x"], expected)
    close(found["out.o"], output)


def kim2019_lif(p, v, inputs, noise, rise):
    """Steps of 0.05 ms, times in seconds; all neurons are refractory at first; inputs last 100 steps."""
    dt, tau_m, refractory = 5e-5, 0.01, 40  # steps
    zero = np.zeros(len(v))
    current, h, r, h_r, last = zero, zero, zero, zero, zero
    for step, eta in enumerate(noise, start=1):
        awake = step - last > refractory
        u = inputs[(step - 1) // 100]
        v = v + awake * dt / tau_m * (-v + current - 40 + p["W_in"] @ u) + 0.1 * eta
        z = (v >= -40).astype(float)
        decay = np.exp(-dt / p["tau"])
        if rise:
            current, r = current * decay + h * dt, r * decay + h_r * dt
            h = h * np.exp(-dt / rise) + p["W"] @ z / (rise * p["tau"])
            h_r = h_r * np.exp(-dt / rise) + z / (rise * p["tau"])
        else:
            current, r = current * decay + p["W"] @ z / p["tau"], r * decay + z / p["tau"]
        v, last = np.where(z, -65, v), np.where(z, step, last)
        yield v, current, r, z, p["W_out"] @ r


@pytest.mark.parametrize("name, rise", [("kim2019_lif", 0.002), ("kim2019_lif_single", None)])
def test_kim2019_lif(name, rise):
    model = bb.load(name, cells=30, seed=2)
    v, u = -65 + 95 * np.random.rand(30), 10 * np.random.randn(8, 2)
    p = dict(tau=model["cells"].values["tau"], W=matrix(model, "rec", 1e-3))
    p |= dict(W_in=matrix(model, "w_in", 1e-3), W_out=matrix(model, "w_out"))
    record = ["cells.v", "cells.I", "cells.r", "cells", "out.o"]
    found, noise = simulate(model, {"stimulus": u}, record, {"cells.v": v * 1e-3})
    expected = kim2019_lif(p, v, u, noise["cells_stateupdater/0"], rise)
    voltage, current, r, spikes, output = stepwise(expected)
    same_spikes(found["cells"], spikes)
    assert spikes[0].sum() > 10  # most start above threshold
    close(found["cells.v"] / 1e-3, voltage)
    close(found["cells.I"] / 1e-3, current)
    close(found["cells.r"], r)
    close(found["out.o"][1:], output[:-1])


# -- Song, Yang & Wang 2016 ---------------------------------------------------------------------------


def song2016(p, x, inputs, recurrent_noise, input_noise):
    """Eqs. 7-9 and 11; alpha = 20 ms/100 ms."""
    alpha = 0.2
    for task, eta, eta_in in zip(inputs, recurrent_noise, input_noise):
        u = np.maximum(0.2 + task + np.sqrt(2 * alpha * 0.01**2) / alpha * eta_in, 0)
        drive = p["W"] @ np.maximum(x, 0) + p["W_in"] @ u
        x = (1 - alpha) * x + alpha * drive + np.sqrt(2 * alpha * 0.15**2) * eta
        yield u, x, p["W_out"] @ np.maximum(x, 0)


def test_song2016():
    model = bb.load("song2016", cells=30, seed=2)
    u = 0.2 * np.random.randn(200, 3)
    p = dict(W=matrix(model, "rec"), W_in=matrix(model, "w_in"), W_out=matrix(model, "w_out"))
    found, noise = simulate(model, {"stimulus": u}, ["source.u", "cells.x", "out.o"])
    own, of_input = noise["cells_stateupdater/0"], noise["source_subexpression_update/0"]
    inputs, x, output = stepwise(song2016(p, np.full(30, 0.1), u, own, of_input))
    close(found["source.u"], inputs)
    close(found["cells.x"], x)
    close(found["out.o"], output)


def test_song2016_starts_as_the_paper_says():
    model = bb.load("song2016", seed=2)
    w = matrix(model, "rec")
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(1.5)
    assert (w[:, :80] >= 0).all() and (w[:, 80:] <= 0).all() and not w.diagonal().any()
    assert np.count_nonzero(w) == 100 * 99
    assert w.sum(axis=1).mean() == pytest.approx(0, abs=0.1 * w[:, :80].sum(axis=1).mean())  # balance
    excitatory = w[:, :80][w[:, :80] > 0]
    assert excitatory.std() / excitatory.mean() == pytest.approx(1 / np.sqrt(2), rel=0.05)  # gamma, shape 2
    assert set(model["w_out"].i) == set(range(80))
    assert (model["w_in"].values["w"] >= 0).all() and (model["w_out"].values["w"] >= 0).all()
    assert (model["cells"].values["x"] == 0.1).all()


# -- Lin & Huang 2024 ---------------------------------------------------------------------------------


def modes(model, norm):
    scores = model["modes"].values["score"]
    return matrix(model, "xi_in") @ np.diag(scores) @ matrix(model, "xi_out") * norm


def lin2024(p, inputs, rest):
    """Eq. B1; dt = 0.2 ms; after a spike, `rest` steps with the potential at zero."""
    of_u, of_h, of_r = np.exp(-0.2 / 20), np.exp(-0.2 / 2), np.exp(-0.2 / 30)
    zero = np.zeros(len(p["W"]))
    potential, h, r, z, last = zero, zero, zero, zero, zero - 1000
    for step, u in enumerate(inputs):
        current = p["W"] @ r + p["W_in"] @ u
        potential = (of_u * potential + (1 - of_u) * current) * (1 - z) * (step - last > rest)
        z = (potential > 1).astype(float)
        h = of_h * h + z
        r = of_r * r + (1 - of_r) * h
        last = np.where(z, step, last)
        yield potential * (1 - z), h, r, z, p["W_out"] @ r  # Brian2 resets in the step of the spike


def lin2024_repository(p, inputs, rest):
    """The authors' loop; dt = 2 ms; the filter takes up the spikes of the step before."""
    of_i, of_u, of_h, of_r = np.exp(-2 / 10), np.exp(-2 / 20), np.exp(-2 / 2), np.exp(-2 / 30)
    zero = np.zeros(len(p["W"]))
    current, potential, h, r, z, last = zero, zero, zero, zero, zero, zero - 1000
    for step, u in enumerate(inputs):
        current = of_i * current + p["W_in"] @ u + p["W"] @ r
        potential = (of_u * potential + (1 - of_u) * current) * (1 - z) * (step - last > rest)
        h = of_h * h + z
        r = of_r * r + (1 - of_r) * h
        z = (potential > 1).astype(float)
        last = np.where(z, step, last)
        yield potential * (1 - z), current, r, z, p["W_out"] @ r


def of_lin2024(name, norm):
    model = bb.load(name, cells=40, seed=2)
    model = model.with_values({("modes", "score"): np.array([4.0, -3.0, 5.0])})
    p = dict(W=modes(model, norm), W_in=matrix(model, "w_in"), W_out=matrix(model, "w_out"))
    assert np.linalg.matrix_rank(p["W"]) == 3
    return model, p


def test_lin2024():
    model, p = of_lin2024("lin2024", 1 / np.sqrt(3 * 40))
    u = 10 * np.random.randn(500, 4) + 2
    found, _ = simulate(model, {"stimulus": u}, ["cells.U", "cells.h", "cells.r", "cells", "out.o"])
    potential, h, r, spikes, output = stepwise(lin2024(p, u, rest=10))
    same_spikes(found["cells"], spikes)
    close(found["cells.U"], potential)
    close(found["cells.h"], h)
    close(found["cells.r"], r)
    close(found["out.o"][1:], output[:-1])


def test_lin2024_repository():
    model, p = of_lin2024("lin2024_repository", 1)
    u = np.random.randn(500, 4) + 0.5
    found, _ = simulate(model, {"stimulus": u}, ["cells.U", "cells.I", "cells.r", "cells", "out.o"])
    potential, current, r, spikes, output = stepwise(lin2024_repository(p, u, rest=5))
    same_spikes(found["cells"], spikes)
    close(found["cells.U"], potential)
    close(found["cells.I"], current)
    close(found["cells.r"], r)
    close(found["out.o"][1:], output[:-1])


def test_lin2024_rate():
    """Eq. 2 with exact exponential steps."""
    model, p = of_lin2024("lin2024_rate", 1 / np.sqrt(3 * 40))
    inputs, potential, expected = 5 * np.random.randn(500, 4), np.zeros(40), []
    for u in inputs:
        decay = np.exp(-0.2 / 20)
        drive = p["W"] @ np.tanh(potential) + p["W_in"] @ u
        potential = decay * potential + (1 - decay) * drive
        expected.append((potential, p["W_out"] @ np.tanh(potential)))
    found, _ = simulate(model, {"stimulus": inputs}, ["cells.U", "out.o"])
    potential, output = stepwise(expected)
    close(found["cells.U"], potential)
    close(found["out.o"], output)


# -- DePasquale, Churchland & Abbott 2016 -------------------------------------------------------------


def depasquale2016(p, v, inputs, forcing):
    """Eqs. 1 and 2 with exact exponentials; dt = 1 ms; slow and fast traces of the neurons that spike."""
    slow, fast, of_v = np.exp(-1 / 100), np.exp(-1 / 2), np.exp(-1 / 20)
    s, f, last = np.zeros(len(v)), np.zeros(len(v)), np.full(len(v), -1000)
    for step, (u, forced) in enumerate(zip(inputs, forcing)):
        drive = p["J"] @ s + p["J_f"] @ f + p["U"] @ u + forced
        towards = -65 + 10 + 7 * drive
        v = np.where(step - last >= 2, towards + (v - towards) * of_v, v)
        s, f = slow * s, fast * f
        z = ((v > -55) & (step - last >= 2)).astype(float)
        s, f = s + z, f + z
        v, last = np.where(z, -65, v), np.where(z, step, last)
        yield v, s, z, p["W"] @ s


def test_depasquale2016():
    model = bb.load("depasquale2016", cells=60, seed=2)
    model = model.with_values({
        ("slow", "w"): 0.05 * np.random.randn(60 * 60), ("w_out", "w"): np.random.randn(60)})  # fmt: skip
    v, u, forcing = -65 + 10 * np.random.rand(60), np.random.randn(300, 1), np.random.randn(300, 60)
    p = dict(J=matrix(model, "slow"), J_f=matrix(model, "fast"))
    p |= dict(U=matrix(model, "w_in"), W=matrix(model, "w_out"))
    inputs = {"stimulus": u, "forcing": forcing}
    found, _ = simulate(model, inputs, ["cells.v", "cells.s", "cells", "out.o"], {"cells.v": v * 1e-3})
    voltage, s, spikes, output = stepwise(depasquale2016(p, v, u, forcing))
    same_spikes(found["cells"], spikes)
    close(found["cells.v"] / 1e-3, voltage)
    close(found["cells.s"], s)
    close(found["out.o"][1:], output[:-1])


def depasquale2016_rate(p, x, inputs, desired):
    """Eqs. 5 and 6 with exact exponentials; dt = 1 ms."""
    decay = np.exp(-1 / 10)
    for u, wanted in zip(inputs, desired):
        recurrent = 1.2 * p["J"] @ np.tanh(x) + p["u"] @ wanted
        towards = recurrent + p["U"] @ u
        x = towards + (x - towards) * decay
        yield x, p["mix"] @ recurrent, p["W"] @ np.tanh(x)


def test_depasquale2016_rate():
    model = bb.load("depasquale2016_rate", cells=60, targets=40, seed=2)
    model = model.with_values({("w_out", "w"): np.random.randn(60)})
    x, u, desired = np.random.randn(60), np.random.randn(300, 1), np.random.randn(300, 1)
    p = dict(J=matrix(model, "rec"), u=matrix(model, "w_desired"), U=matrix(model, "w_in"))
    p |= dict(mix=matrix(model, "mix"), W=matrix(model, "w_out"))
    inputs = {"stimulus": u, "desired": desired}
    found, _ = simulate(model, inputs, ["cells.x", "targets.F", "out.o"], {"cells.x": x})
    expected, targets, output = stepwise(depasquale2016_rate(p, x, u, desired))
    close(found["cells.x"], expected)
    close(found["targets.F"], targets)
    close(found["out.o"], output)
