"""The regulariser of Song, Yang & Wang (2016) against its closed form and finite differences."""

from functools import cache

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.training import VanishingGradient, mean_square
from brianbridge.training.batches import Batches

UNITS, ALPHA, STEPS, TRIALS = 6, 0.2, 12, 3


class Follow:
    """Hold a number that changes once."""

    name, arguments = "follow", {}

    def trials(self, rng, batch, dt):
        rng = np.random.default_rng(rng)
        stimulus = rng.normal(size=(STEPS, batch, 2))
        target = np.cumsum(stimulus[..., :1], axis=0) / 5
        mask = np.ones_like(target)
        mask[:2] = 0
        return bb.tasks.Trials({"stimulus": stimulus}, target, mask, {}, {}, float(dt))

    def score(self, output, trials):
        return np.ones(len(trials), bool)


def rate_network(sigma=0.15, leak="x"):
    """The rate network of the paper, with Euler steps of a fifth of tau."""
    rng = np.random.default_rng(3)
    names = dict(stim=TimedArray(np.zeros((STEPS, 2)), dt=20 * ms), tau=100 * ms, sigma=sigma)
    source = NeuronGroup(2, "u = stim(t, i) : 1", namespace=names, name="source", dt=20 * ms)
    cells = NeuronGroup(
        UNITS,
        f"""dx/dt = (I_rec + I_in - {leak})/tau + sqrt(2/tau)*sigma*xi : 1
        da/dt = (x - a)/tau : 1
        r = clip(x, 0, inf) : 1
        I_rec : 1
        I_in : 1""",
        method="euler",
        namespace=names,
        name="cells",
        dt=20 * ms,
    )
    cells.x = 0.1
    w_in = Synapses(
        source, cells, "I_in_post = w*u_pre : 1 (summed)\nw : 1", namespace=names, name="w_in", dt=20 * ms
    )
    w_in.connect()
    w_in.w = rng.normal(size=2 * UNITS)
    rec = Synapses(cells, cells, "I_rec_post = w*r_pre : 1 (summed)\nw : 1", name="rec", dt=20 * ms)
    rec.connect()
    rec.w = rng.normal(size=UNITS**2) / np.sqrt(UNITS) * 1.5
    out = NeuronGroup(1, "o : 1", name="out", order=2, dt=20 * ms)
    w_out = Synapses(cells, out, "o_post = w*r_pre : 1 (summed)\nw : 1", name="w_out", dt=20 * ms)
    w_out.connect()
    w_out.w = rng.normal(size=UNITS)
    return Network(source, cells, w_in, rec, out, w_out)


@cache
def rate_model(**options):
    return bb.wrap(rate_network(**options), train={"rec.w": None, "w_in.w": None, "w_out.w": None})


def rate_surrogate(backend="eager", **options):
    return bb.Surrogate(rate_model(**options), dtype=torch.float64, backend=backend)


def simulated(surrogate, term):
    """Trials after the backward pass of the loss."""
    batches = Batches(surrogate, Follow(), {"stim": "stimulus"}, "out.o", ("cells.x",), noise_gradient=True)
    found = batches.simulate(batches.draw(1, TRIALS), torch.Generator().manual_seed(2))
    for raw in surrogate.parameters():
        raw.grad = None
    found.loss(mean_square).backward()
    return found


def closed_form(surrogate, found, normalise):
    """Omega from the equations of the paper, in numpy; a function of the recurrent weights.

    The gradient g comes from a backward recursion of its own; g and x are constants.
    """
    x = found.records["cells.x"].detach().numpy()
    values = {name: raw.detach().numpy() for name, raw in surrogate.named_values().items()}
    matrix, w_out = values["rec.w"].reshape(UNITS, UNITS), values["w_out.w"]  # matrix[j, i]: from j to i
    mask, slope = found.trials.mask, (x > 0).astype(float)
    error = 2 * mask * (found.output.detach().numpy() - found.trials.targets) / mask.sum()
    g = np.zeros_like(x)
    for t in reversed(range(STEPS)):
        g[t] = error[t] * w_out * slope[t]
        if t + 1 < STEPS:
            g[t] += (1 - ALPHA) * g[t + 1] + ALPHA * (g[t + 1] @ matrix.T) * slope[t]

    def omega(flat):
        v = (1 - ALPHA) * g[1:] + ALPHA * (g[1:] @ flat.reshape(UNITS, UNITS).T) * slope[:-1]
        size = (g[1:] ** 2).sum(-1)
        counts = size >= 1e-20
        terms = np.where(counts, ((v**2).sum(-1) / np.where(counts, size, 1) - 1) ** 2, 0)
        return 2 * terms.sum() / (TRIALS if normalise == "sum" else counts.sum())

    return omega, matrix.reshape(-1)


@pytest.fixture(scope="module", params=["eager", "compiled"])
def surrogate(request):
    return rate_surrogate(request.param)


@pytest.mark.parametrize("normalise", ["sum", "mean"])
def test_value_and_immediate_derivative(surrogate, normalise):
    term = VanishingGradient("cells.x", "rec.w", normalise=normalise)
    found = simulated(surrogate, term)
    before = {name: raw.grad.clone() for name, raw in surrogate.named_values().items()}
    value = term.add_gradient(found)
    omega, weights = closed_form(surrogate, found, normalise)
    assert value == pytest.approx(omega(weights), rel=1e-6) and value > 0.01

    added = {name: raw.grad - before[name] for name, raw in surrogate.named_values().items()}
    assert not added["w_in.w"].any() and not added["w_out.w"].any()
    steps = 1e-6 * np.eye(len(weights))
    expected = [(omega(weights + step) - omega(weights - step)) / 2e-6 for step in steps]
    assert np.allclose(added["rec.w"].numpy(), expected, rtol=1e-4, atol=1e-7)


def test_the_gradient_is_held_by_training_with_it():
    """After some updates Omega is smaller with the term than without."""

    def after(regularisers):
        surrogate = rate_surrogate()
        settings = dict(inputs={"stim": "stimulus"}, output="out.o", optimiser=torch.optim.SGD)
        settings |= dict(updates=10, learning_rate=0.05, loss=mean_square, progress=False)
        trained = bb.fit(surrogate, Follow(), regularisers=regularisers, **settings)
        term = VanishingGradient("cells.x", "rec.w")
        return term.add_gradient(simulated(surrogate, term)), trained

    without, _ = after([])
    with_it, trained = after([VanishingGradient("cells.x", "rec.w")])
    assert with_it < 0.9 * without
    assert trained.history["regularisation"][-1] > 0
    described = "VanishingGradient(state=cells.x, weights=rec.w, strength=2.0, normalise=sum)"
    assert trained.manifest["training"]["regularisers"] == [described]


def fit(surrogate, **settings):
    task = dict(inputs={"stim": "stimulus"}, output="out.o", updates=1, progress=False)
    return bb.fit(surrogate, Follow(), **(task | settings))


def test_what_it_cannot_regularise():
    term = [VanishingGradient("cells.x", "rec.w")]
    with pytest.raises(ValueError, match="cells.x has none. Add a little"):
        fit(rate_surrogate(sigma=0), regularisers=term)
    with pytest.raises(ValueError, match="follows from more than cells.x"):
        fit(rate_surrogate(leak="x - a"), regularisers=term)
    with pytest.raises(ValueError, match="w_out.w is not among the weights from the state to itself"):
        fit(rate_surrogate(), regularisers=[VanishingGradient("cells.x", "w_out.w")])
    with pytest.raises(ValueError, match="needs the whole gradient"):
        fit(rate_surrogate(), regularisers=term, truncate=100 * ms)
    with pytest.raises(ValueError, match="neither 'sum' nor 'mean'"):
        VanishingGradient("cells.x", "rec.w", normalise="none")
