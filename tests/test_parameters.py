"""Transforms, ties and masks: what a parameter can become, and what it is bit for bit at the start."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.model.constraints import Trainable
from brianbridge.model.storage import _from_plain, _to_plain
from brianbridge.surrogate.parameters import Parameter


@pytest.fixture
def model():
    cells = NeuronGroup(
        8,
        """dv/dt = (a - v)/tau_m : volt
        tau_m : second (constant)
        a : volt (constant)
        g : 1 (shared)""",
        threshold="v > 10*mV*g",
        reset="v = 0*mV",
        method="euler",
        name="cells",
    )
    cells.tau_m, cells.a, cells.g = "10*ms + 20*ms*rand()", "20*mV*rand()", 1.5
    rec = Synapses(cells, cells, "w : volt", on_pre="v_post += w", name="rec")
    rec.connect(condition="i != j")
    rec.w = "(1 - 2*int(i < 3))*mV*rand()"
    return bb.wrap(Network(cells, rec))


def parameter(model, target, constraint):
    return Parameter(Trainable((target,), constraint, model.dimensions(target)), model)


def train(parameter, loss, rate=0.1, updates=30):
    """A few steps of gradient descent."""
    optimizer = torch.optim.Adam(parameter.parameters(), lr=rate)
    for _ in range(updates):
        optimizer.zero_grad()
        loss(parameter()).backward()
        optimizer.step()
        parameter.project()
    return parameter().detach().numpy()


CONSTRAINTS = {
    "free": (("cells", "a"), bb.Free()),
    "free, in microvolt": (("cells", "a"), bb.Free(unit=uvolt)),
    "positive": (("cells", "tau_m"), bb.Positive()),
    "bounds": (("cells", "tau_m"), bb.Bounds(5 * ms, 50 * ms)),
    "shared": (("cells", "g"), bb.Bounds(0.5, 3.0)),
    "Dale by projection": (("rec", "w"), bb.Dale()),
    "Dale by rectification": (("rec", "w"), bb.Dale(by="rectification")),
    "Dale by absolute value": (("rec", "w"), bb.Dale(by="absolute")),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_untrained_values_keep_their_bits_and_have_a_gradient(model, name):
    target, constraint = CONSTRAINTS[name]
    p = parameter(model, target, constraint)
    values = p()
    assert values.dtype == torch.float64
    assert values.shape == model.initial_value(target).shape
    assert np.array_equal(values.detach().numpy(), model.initial_value(target))
    values.sum().backward()
    assert (p.raw.grad != 0).all()


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_gradient_against_finite_differences(model, name):
    p = parameter(model, *CONSTRAINTS[name])
    with torch.no_grad():
        p.raw += 0.01  # away from the start, where the model's own value is given
    weights = torch.rand(p().shape, dtype=torch.float64) / p.unit

    def value(raw):
        return (p._transform(raw).reshape(p.shape) * weights).sum()

    assert torch.autograd.gradcheck(value, p.raw.detach().clone().requires_grad_())


def test_units_of_the_field(model):
    raw = parameter(model, ("cells", "a"), bb.Free()).raw.detach().numpy()
    np.testing.assert_allclose(raw, model["cells"].values["a"] * 1e3)
    assert parameter(model, ("cells", "a"), bb.Free(unit=uvolt)).raw.max() > 100
    assert parameter(model, ("cells", "g"), bb.Free()).raw.item() == 1.5


def test_bounds_hold_however_far_one_goes(model):
    target, bounds = ("cells", "tau_m"), bb.Bounds(5 * ms, 50 * ms)
    low = train(parameter(model, target, bounds), lambda v: v.sum(), rate=20.0)
    high = train(parameter(model, target, bounds), lambda v: -v.sum(), rate=20.0)
    assert np.all(low == 5e-3) and np.all(high == 50e-3)
    for values in (low, high):  # and what ended on a bound can be read back
        again = parameter(model.with_values({target: values}), target, bounds)
        assert np.array_equal(again().detach().numpy(), values)


def test_positive_stays_positive(model):
    values = train(parameter(model, ("cells", "tau_m"), bb.Positive()), lambda v: v.sum(), rate=1.0)
    assert np.all(values > 0)
    assert values.max() < 1e-5


@pytest.mark.parametrize("by", ["projection", "rectification", "absolute"])
def test_signs_of_presynaptic_neurons_stay(model, by):
    rec = model["rec"]
    p = parameter(model, ("rec", "w"), bb.Dale(by=by))
    pushed = train(p, lambda v: v.sum())  # everything towards the negative
    assert np.all(pushed[rec.i < 3] < 0)
    assert np.all(pushed[rec.i >= 3] >= 0)
    assert np.all(pushed[rec.i < 3] < rec.values["w"][rec.i < 3])
    if by != "absolute":
        assert np.any(pushed[rec.i >= 3] == 0)


def test_projection_lets_weights_come_back_and_rectification_does_not(model):
    found = {}
    for by in ("projection", "rectification"):
        p = parameter(model, ("rec", "w"), bb.Dale(by=by))
        train(p, lambda v: v.sum(), updates=60)
        found[by] = train(p, lambda v: -v.sum(), updates=20)
    excitatory = model["rec"].i >= 3
    assert np.all(found["projection"][excitatory] > 0)
    assert np.any(found["rectification"][excitatory] == 0)


def test_all_weights_zero_counts_as_excitatory(model):
    silent = model.with_values({("rec", "w"): np.zeros(56)})
    values = train(parameter(silent, ("rec", "w"), bb.Dale()), lambda v: -v.sum(), updates=2)
    assert np.all(values > 0)


@pytest.mark.parametrize("by", ["projection", "rectification", "absolute"])
def test_signs_are_given(model, by):
    """Weights at zero and above have no negative sign of their own: D is given."""
    rec, signs = model["rec"], np.where(np.arange(8) < 3, -1, 1)
    zero = model.with_values({("rec", "w"): np.where(rec.i < 3, 0.0, rec.values["w"])})
    trained = train(parameter(zero, ("rec", "w"), bb.Dale(by=by, signs=signs)), lambda v: (v * v + v).sum())
    assert np.all(trained * signs[rec.i] >= 0)
    if by == "projection":
        assert np.all(trained[rec.i < 3] < 0)
    arrays = {}
    stored = _to_plain(bb.Dale(by=by, signs=signs), "rec.w", arrays)
    assert np.array_equal(_from_plain(stored, arrays, 0).signs, signs)


@pytest.mark.parametrize(
    "signs, message",
    [
        ([1, 0], "has the sign 1 or -1"),
        (np.ones(3), "rec.w: Dale.signs=.... has 3 signs.* neuron 7 has synapses"),
        (np.ones(8), "rec.w: Dale.signs=.... contradicts the weights of 3 neurons, the first is neuron 0"),
    ],
)
def test_signs_that_do_not_fit(model, signs, message):
    with pytest.raises(ValueError, match=message):
        parameter(model, ("rec", "w"), bb.Dale(signs=signs))


@pytest.mark.parametrize(
    "tie, groups",
    [("all", lambda rec: np.zeros(56)), ("i", lambda rec: rec.i), ("j", lambda rec: rec.j), ("array", None)],
)
def test_ties(model, tie, groups):
    rec = model["rec"]
    labels = np.arange(56) % 5 if groups is None else groups(rec)
    p = parameter(model, ("rec", "w"), bb.Free(tie=labels if groups is None else tie))
    assert p.raw.numel() == len(np.unique(labels))
    target = torch.rand(56, dtype=torch.float64) * 1e-3
    start, values = p().detach().numpy(), train(p, lambda v: (1e6 * (v - target) ** 2).sum())
    for label in np.unique(labels):
        assert len(np.unique(values[labels == label])) == 1
        assert start[labels == label] == pytest.approx(rec.values["w"][labels == label].mean())
    assert not np.array_equal(start, values)


def test_a_tie_of_equal_values_keeps_their_bits(model):
    equal = model.with_values({("cells", "tau_m"): np.full(8, 0.0123456789)})
    p = parameter(equal, ("cells", "tau_m"), bb.Bounds(5 * ms, 50 * ms, tie="all"))
    assert p.raw.numel() == 1
    assert np.all(p().detach().numpy() == 0.0123456789)


def test_a_sign_is_kept_when_all_weights_went_to_zero(model):
    """Inhibitory weights end as minus zero, also in the values that Brian2 is given."""
    inhibitory = model["rec"].i < 3
    gone = train(parameter(model, ("rec", "w"), bb.Dale()), lambda v: -v[inhibitory].sum())
    assert np.all(gone[inhibitory] == 0) and np.all(np.signbit(gone[inhibitory]))
    again = parameter(model.with_values({("rec", "w"): gone}), ("rec", "w"), bb.Dale())
    assert again().detach().numpy().tobytes() == gone.tobytes()
    back = train(again, lambda v: v.sum(), updates=2)
    assert np.all(back[inhibitory] < 0)


def test_ties_keep_signs(model):
    rec = model["rec"]
    values = train(parameter(model, ("rec", "w"), bb.Dale(tie="i")), lambda v: -v.sum())
    assert len(np.unique(values)) == 6  # three inhibitory neurons stopped at zero
    assert np.all(values[rec.i < 3] == 0)
    assert np.all(values[rec.i >= 3] > 0)


@pytest.mark.parametrize("constraint", [bb.Free, bb.Positive])
def test_masked_elements_keep_their_bits(model, constraint):
    mask = np.arange(8) % 2 == 0
    before = model["cells"].values["tau_m"]
    after = train(parameter(model, ("cells", "tau_m"), constraint(mask=mask)), lambda v: (1e3 * v).sum())
    assert np.array_equal(after[~mask], before[~mask])
    assert np.all(after[mask] < before[mask])


def test_trained_values_are_those_that_the_model_gets(model):
    model = bb.wrap(model.network(), train={"cells.tau_m": bb.Bounds(5 * ms, 50 * ms), "rec.w": bb.Dale()})
    surrogate = bb.Surrogate(model)
    with torch.no_grad():
        for raw in surrogate.named_values().values():
            raw += 0.1
    trained = surrogate.trained_model()
    again = bb.Surrogate(trained)
    for target, value in surrogate.values().items():
        assert np.array_equal(value.detach(), trained.initial_value(target))
        assert np.array_equal(again.values()[target].detach(), trained.initial_value(target))


def test_parameters_survive_a_state_dict(model):
    model = bb.wrap(model.network(), train={"cells.tau_m": bb.Bounds(5 * ms, 50 * ms)})
    one, other = bb.Surrogate(model), bb.Surrogate(model)
    with torch.no_grad():
        one.parameter[0].raw[:4] += 0.3
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.parameter[0](), other.parameter[0]())
