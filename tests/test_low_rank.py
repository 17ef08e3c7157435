"""Weights of low rank: as a full matrix, as factors in a file, and as neurons that are the modes."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.cli import main
from brianbridge.model.storage import StorageError, model_from_parts, model_to_parts


def network(on_pre=None, summed=None, n=12, m=9, **synapses):
    """Two groups of spiking cells; one projects to the other."""
    one = NeuronGroup(
        n,
        "dv/dt = (1.5*mV - v)/(10*ms) : volt\ndr/dt = -r/(20*ms) : 1",
        threshold="v > 1*mV",
        reset="v = 0*mV; r += 1",
        method="euler",
        name="one",
    )
    other = NeuronGroup(
        m,
        """dv/dt = (1.2*mV + I_sum + I - v)/(10*ms) : volt
        dI/dt = -I/(5*ms) : volt
        I_sum : volt
        gain : 1 (constant)""",
        threshold="v > 1*mV",
        reset="v = 0*mV",
        method="euler",
        name="other",
    )
    one.v, other.gain = "1*mV*rand()", "0.5 + rand()"
    model = "w : volt" + (f"\n{summed} : volt (summed)" if summed else "")
    rec = Synapses(one, other, model, on_pre=on_pre, name="rec", method="euler", **synapses)
    rec.connect()
    rec.w = "0.2*mV*(rand() + 0.2*i/N_pre)"
    return Network(one, other, rec)


def matrix(model):
    rec = model["rec"]
    full = np.zeros((model["other"].n, model["one"].n))
    full[rec.j, rec.i] = rec.values["w"]
    return full


def modes(p=2, n=12, m=9):
    rng = np.random.default_rng(1)
    return dict(
        xi_in=rng.normal(size=(m, p)), scores=rng.normal(size=p) * mV / 4, xi_out=rng.normal(size=(n, p))
    )


@pytest.mark.parametrize("p", [1, 3])
def test_starts_from_the_best_approximation(p):
    net = network(on_pre="I_post += w")
    before = matrix(bb.wrap(net))
    with pytest.warns(UserWarning, match=f"rec.w starts from the best approximation .* by {p} modes"):
        model = bb.wrap(net, train={"rec.w": bb.LowRank(p)})
    found = matrix(model)
    assert np.linalg.matrix_rank(found) == p
    rest = np.linalg.svd(before, compute_uv=False)[p:]
    assert np.linalg.norm(before - found) == pytest.approx(np.sqrt(np.sum(rest**2)))
    constraint = model.trainable[0].constraint
    assert np.sqrt(np.mean(constraint.xi_in**2, axis=0)) == pytest.approx(1)
    assert np.sqrt(np.mean(constraint.xi_out**2, axis=0)) == pytest.approx(1)
    np.testing.assert_allclose(constraint.matrix(), found, rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_weights_that_have_this_rank_keep_their_bits():
    net, given = network(on_pre="I_post += w"), modes()
    product = given["xi_in"] @ np.diag(np.asarray(given["scores"])) @ given["xi_out"].T
    net["rec"].w_ = product[net["rec"].j, net["rec"].i]
    before = net["rec"].w_[:]
    model = bb.wrap(net, train={"rec.w": bb.LowRank(2)})
    assert np.array_equal(model["rec"].values["w"], before)
    assert np.array_equal(bb.Surrogate(model).values()["rec", "w"].detach().numpy(), before)


@pytest.mark.filterwarnings("error")
def test_given_factors_and_their_gradient():
    """W = xi_in diag(scores) xi_out^T; the gradient is that of the product, by hand."""
    given = modes()
    model = bb.wrap(network(on_pre="I_post += w"), train={"rec.w": bb.LowRank(2, **given)})
    xi_in, scores, xi_out = given["xi_in"], np.asarray(given["scores"]), given["xi_out"]
    np.testing.assert_allclose(matrix(model), np.einsum("ip,p,jp", xi_in, scores, xi_out), rtol=1e-12)
    surrogate = bb.Surrogate(model)
    rec, slopes = model["rec"], np.random.default_rng(2).normal(size=(9, 12))
    weights = surrogate.values()["rec", "w"]
    (weights * torch.tensor(slopes[rec.j, rec.i])).sum().backward()
    grads = {name: raw.grad.numpy() for name, raw in surrogate.named_values().items()}
    np.testing.assert_allclose(grads["rec.w.xi_in"], slopes @ xi_out * scores)
    np.testing.assert_allclose(grads["rec.w.xi_out"], slopes.T @ xi_in * scores)
    np.testing.assert_allclose(grads["rec.w.scores"], np.diag(xi_in.T @ slopes @ xi_out) * 1e-3)  # in mV


def test_training_keeps_the_rank_and_files_keep_the_factors(tmp_path):
    net = network(on_pre="I_post += w")
    surrogate = bb.Surrogate(bb.wrap(net, train={"rec.w": bb.LowRank(2, **modes())}))
    optimizer = torch.optim.Adam(surrogate.parameter_groups(0.05))
    for _ in range(3):
        optimizer.zero_grad()
        (1e3 * surrogate.values()["rec", "w"] - 1).square().sum().backward()
        optimizer.step()
        surrogate.project()
    trained = bb.Trained(surrogate.trained_model())
    assert np.linalg.matrix_rank(matrix(trained.model)) == 2
    again = bb.Trained.load(trained.save(tmp_path / "modes.safetensors"))
    assert again.hash == trained.hash
    one, other = (t.model.trainable[0].constraint for t in (trained, again))
    assert np.array_equal(one.xi_in, other.xi_in) and np.array_equal(one.scores, other.scores)
    restored = bb.Surrogate(again.model).values()["rec", "w"].detach().numpy()
    assert np.array_equal(restored, trained.model["rec"].values["w"])
    again.write_to(net)
    assert np.array_equal(net["rec"].w_[:], restored)


def test_a_mask_keeps_single_weights():
    mask = np.arange(108) % 2 == 0
    model = bb.wrap(network(on_pre="I_post += w"), train={"rec.w": bb.LowRank(2, mask=mask, **modes())})
    surrogate = bb.Surrogate(model)
    with torch.no_grad():
        surrogate.parameter[0].xi_in += 1
    values = surrogate.values()["rec", "w"].detach().numpy()
    assert np.array_equal(values == model["rec"].values["w"], ~mask)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: bb.LowRank(0), r"LowRank\(0\): the number of modes"),
        (lambda: bb.LowRank(2, tie="all"), "leave out tie="),
        (lambda: bb.LowRank(2, xi_in=np.ones((9, 2))), "scores, xi_out missing"),
        (lambda: bb.LowRank(3, **modes()), r"xi_in has the shape \(9, 2\).*3 modes"),
        (lambda: bb.LowRank(2, **modes(n=9)), "rec.w has 12 presynaptic neurons, but xi_out has 9 rows"),
        (lambda: bb.LowRank(2, **modes() | {"scores": [1.0, 1.0]}), "rec.w is in volt, but the scores"),
        (lambda: bb.LowRank(10), "at most 9 modes"),
    ],
)
def test_factors_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        bb.wrap(network(on_pre="I_post += w"), train={"rec.w": wrong()})


def test_only_weights_have_modes():
    with pytest.raises(ValueError, match="one.v: LowRank.. is for weights of Synapses"):
        bb.wrap(network(on_pre="I_post += w"), train={"one.v": bb.LowRank(1)})


# -- modes as neurons ---------------------------------------------------------------------------------

WAYS = {
    "a sum": dict(summed="I_sum_post = w*r_pre"),
    "a sum with both ends": dict(summed="I_sum_post = w*(r_pre + 0.1)*gain_post"),
    "spikes": dict(on_pre="I_post += w"),
    "spikes, delayed": dict(on_pre="I_post += 0.5*w*r_pre*gain_post/(1 + r_pre)", delay=1.3 * ms),
    "spikes onto what is reset": dict(on_pre="v_post += w"),
}


def states(net, duration=30 * ms):
    """Brian2's own course of every state that the neurons keep, and the spikes."""
    traces = [
        StateMonitor(net["one"], ["v", "r"], record=True),
        StateMonitor(net["other"], ["v", "I", "I_sum"], record=True, when="end"),
    ]
    spikes = SpikeMonitor(net["other"])
    net.add(*traces, spikes)
    net.run(duration, namespace={})
    values = {
        f"{m.source.name}.{name}": np.array(getattr(m, name)) for m in traces for name in m.record_variables
    }
    return values, np.array(spikes.i), np.array(spikes.t)


@pytest.mark.parametrize("way", WAYS)
def test_modes_are_the_same_network_in_brian2(way):
    model = bb.wrap(network(**WAYS[way]), train={"rec.w": bb.LowRank(2, **modes())})
    by_modes = bb.as_modes(model)
    assert by_modes["rec_modes"].n == 2
    assert by_modes["rec_xi_in"].n + by_modes["rec_xi_out"].n == 2 * (12 + 9)
    full, spikes, times = states(model.network())
    few, found, found_times = states(by_modes.network())
    assert len(spikes) > 5 and np.array_equal(spikes, found) and np.array_equal(times, found_times)
    for name, values in full.items():
        np.testing.assert_allclose(few[name], values, rtol=1e-9, atol=1e-15, err_msg=name)
        assert values.max() > values.min() or name in ("other.I", "other.I_sum")


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("way", WAYS)
def test_modes_have_the_gradient_of_the_factors(way, backend):
    model = bb.wrap(network(**WAYS[way]), train={"rec.w": bb.LowRank(2, **modes())})
    gradients, courses = [], []
    for each in (model, bb.as_modes(model)):
        surrogate = bb.Surrogate(each, bb.Box(width=1 * mV), dtype=torch.float64, backend=backend)
        assert surrogate.backend == backend
        course = surrogate(duration=20 * ms, record="other.v")["other.v"]
        (1e3 * course).square().sum().backward()
        courses.append(course.detach())
        gradients.append([raw.grad.flatten() for raw in surrogate.named_values().values()])
    torch.testing.assert_close(*courses, rtol=1e-9, atol=1e-15)
    full, few = gradients
    for one, other, transpose in zip(full, few, (True, False, False)):
        one = one.reshape(9, 2).T.flatten() if transpose else one
        assert one.abs().min() > 0
        torch.testing.assert_close(one, other, rtol=1e-7, atol=0)


def test_parts_of_groups_have_modes_too():
    net = network(on_pre="I_post += w")
    part = Synapses(net["one"][2:7], net["other"][3:], "w : volt", on_pre="v_post += w", name="part")
    part.connect()
    net.add(part)
    given = modes(n=5, m=6)
    model = bb.wrap(net, train={"part.w": bb.LowRank(2, **given)})
    full, few = (states(each.network())[0] for each in (model, bb.as_modes(model, "part.w")))
    for name, values in full.items():
        np.testing.assert_allclose(few[name], values, rtol=1e-9, atol=1e-15, err_msg=name)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(on_pre="I_post += w*w/mV"), "'w\\*w/mV' is not proportional to w"),
        (dict(on_pre="I_post += w; v_post += w"), "'I_post \\+= w; v_post \\+= w' is not one addition"),
        (
            dict(on_pre="I_post += w*exp(-r_pre*gain_post)"),
            "does not belong to source or target alone",
        ),
        (dict(on_pre="I_post += w", summed="I_sum_post = w*r_pre"), "rec does more than to multiply by w"),
    ],
)
def test_what_modes_cannot_stand_for(options, message):
    model = bb.wrap(network(**options), train={"rec.w": bb.LowRank(2, **modes())})
    with pytest.raises(ValueError, match=message):
        bb.as_modes(model)


def test_modes_need_all_pairs_and_weights_of_low_rank():
    net = network(on_pre="I_post += w")
    with pytest.raises(ValueError, match="no weights of low rank"):
        bb.as_modes(bb.wrap(net, train={"rec.w": None}))
    part = Synapses(net["one"], net["other"], "w : volt", on_pre="v_post += w", name="part")
    part.connect(condition="i != j")
    net.add(part)
    model = bb.wrap(net, train={"part.w": bb.LowRank(1, **modes(1)), "rec.w": None})
    with pytest.raises(ValueError, match="part connects 99 of 108 pairs"):
        bb.as_modes(model)
    with pytest.raises(ValueError, match="rec.w is not of low rank"):
        bb.as_modes(model, "rec.w")


# -- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor, shape", [("xi_in", (3, 2)), ("xi_out", (12, 3)), ("scores", (2, 1))])
def test_factors_of_a_damaged_file(factor, shape):
    text, arrays = model_to_parts(
        bb.wrap(network(on_pre="I_post += w"), train={"rec.w": bb.LowRank(2, **modes())})
    )
    assert model_from_parts(text, arrays).trainable[0].constraint.modes == 2
    with pytest.raises(StorageError, match=factor):
        model_from_parts(text, arrays | {f"rec.w.{factor}": np.ones(shape)})


def test_modes_are_shown(tmp_path, capsys):
    model = bb.wrap(network(on_pre="I_post += w"), train={"rec.w": bb.LowRank(2, **modes())})
    path = bb.Trained(model).save(tmp_path / "modes.safetensors")
    assert main(["show", str(path)]) == 0
    assert "LowRank, 2 modes" in capsys.readouterr().out
