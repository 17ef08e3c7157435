"""What is trained how fast: freezing by name, and learning rates for single parameters."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.model.naming import UnknownName


@pytest.fixture
def net():
    cells = NeuronGroup(
        6,
        """dv/dt = (1.5*mV + I - v)/tau_m : volt
        dI/dt = -I/(tau_syn) : volt
        tau_m : second (constant)""",
        threshold="v > 1*mV",
        reset="v = 0*mV",
        method="euler",
        namespace={"tau_syn": 5 * ms},
        name="cells",
    )
    cells.v, cells.tau_m = "1*mV*rand()", "10*ms + 5*ms*rand()"
    rec = Synapses(cells, cells, "w : volt", on_pre="I_post += w", name="rec")
    rec.connect(condition="i != j")
    rec.w = "0.2*mV*rand()"
    return Network(cells, rec)


@pytest.fixture
def surrogate(net):
    train = {
        "rec.w": bb.LowRank(2, xi_in=np.ones((6, 2)), scores=[1, 2] * mV / 9, xi_out=np.eye(6)[:, :2]),
        "cells.tau_m": bb.Bounds(5 * ms, 50 * ms),
        "tau_syn": None,
    }
    return bb.Surrogate(bb.wrap(net, train=train), bb.Box(width=1 * mV))


ALL = ["rec.w.xi_in", "rec.w.scores", "rec.w.xi_out", "cells.tau_m", "cells.tau_syn"]


def test_freeze_and_unfreeze_by_name(net, surrogate):
    assert list(surrogate.named_values()) == ALL
    rec, cells = net["rec"], net["cells"]
    surrogate.freeze(rec.w, "tau_syn")
    assert list(surrogate.named_values()) == ["cells.tau_m"]
    surrogate.unfreeze("rec.w.scores")
    assert list(surrogate.named_values()) == ["rec.w.scores", "cells.tau_m"]
    surrogate.freeze()
    assert not surrogate.named_values()
    surrogate.unfreeze(cells.tau_m)
    assert list(surrogate.named_values()) == ["cells.tau_m"]
    surrogate.unfreeze()
    assert list(surrogate.named_values()) == ALL


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_what_is_frozen_keeps_its_bits_and_the_rest_its_gradient(surrogate, backend):
    surrogate = bb.Surrogate(surrogate.model, bb.Box(width=1 * mV), backend=backend)

    def gradients():
        surrogate.zero_grad()
        surrogate(duration=20 * ms, record="cells.v")["cells.v"].mean().backward()
        return {name: raw.grad.clone() for name, raw in surrogate.named_values().items()}

    whole, before = gradients(), surrogate.values()
    surrogate.freeze("rec.w", "tau_syn")
    part = gradients()
    assert list(part) == ["cells.tau_m"] and torch.equal(part["cells.tau_m"], whole["cells.tau_m"])
    torch.optim.SGD(surrogate.parameter_groups(10.0)).step()
    after = surrogate.values()
    assert torch.equal(before["rec", "w"], after["rec", "w"])
    assert not torch.equal(before["cells", "tau_m"], after["cells", "tau_m"])


def test_learning_rates(surrogate):
    groups = surrogate.parameter_groups(0.01, {"rec.w": 0.1, "rec.w.scores": 0.5, "tau_syn": 2})
    assert [group["name"] for group in groups] == ALL
    assert [group["lr"] for group in groups] == [0.1, 0.5, 0.1, 0.01, 2]
    before = {name: raw.detach().clone() for name, raw in surrogate.named_values().items()}
    for raw in surrogate.parameters():
        raw.grad = torch.ones_like(raw)
    torch.optim.SGD(groups).step()
    for group, (name, raw) in zip(groups, surrogate.named_values().items()):
        torch.testing.assert_close(before[name] - raw, torch.full_like(raw, group["lr"]))


def test_names_and_rates_that_do_not_fit(surrogate):
    with pytest.raises(UnknownName, match="cells.v is not trained; trained are rec.w, cells.tau_m"):
        surrogate.freeze("cells.v")
    with pytest.raises(UnknownName, match="cells.tau_m is not trained as LowRank: it has no scores"):
        surrogate.freeze("cells.tau_m.scores")
    with pytest.raises(ValueError, match="learning rate of cells.tau_m is 'fast'"):
        surrogate.parameter_groups(0.01, {"cells.tau_m": "fast"})
    surrogate.freeze("rec.w.scores")
    with pytest.raises(ValueError, match="rec.w.scores is frozen"):
        surrogate.parameter_groups(0.01, {"rec.w.scores": 0.1})
    rates = {group["name"]: group["lr"] for group in surrogate.parameter_groups(0.01, {"rec.w": 0.1})}
    assert rates["rec.w.xi_in"] == 0.1 and "rec.w.scores" not in rates
