"""Random initial states that are drawn once, and handed to every device."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, ms, prefs

import brianbridge as bb
from brianbridge.simulation.initial_states import drawn_states
from brianbridge.tasks import Trials


@pytest.fixture
def leaky():
    cells = NeuronGroup(4, "dv/dt = -v/(10*ms) : 1", method="euler", dt=1 * ms, name="cells")
    model = bb.wrap(Network(cells))
    model = model.with_group(replace(model["cells"], initial={"v": "1 + rand()"}))
    return bb.Trained(model=model, inputs={}, output="cells.v", task="none")


def shown(trials):
    shape = 5, trials, 4
    return Trials({}, np.zeros(shape), np.ones(shape), {}, {}, 1 * ms)


def test_states_are_drawn_once_for_each_trial(leaky):
    drawn = drawn_states(leaky.model, 3, 1)["cells.v"]
    assert drawn.shape == (3, 4) and len(np.unique(drawn)) == 12 and drawn.min() > 1 and drawn.max() < 2
    assert np.array_equal(drawn, drawn_states(leaky.model, 3, 1)["cells.v"])
    assert not np.array_equal(drawn, drawn_states(leaky.model, 3, 2)["cells.v"])


@pytest.mark.parametrize(
    "device", ["runtime", "surrogate", pytest.param("cpp_standalone", marks=pytest.mark.slow)]
)
def test_every_device_starts_where_it_is_told_to(leaky, device, monkeypatch):
    monkeypatch.setitem(prefs, "codegen.cpp.extra_compile_args_gcc", ["-w", "-O0", "-std=c++11"])
    drawn = drawn_states(leaky.model, 3, 1)
    found = bb.simulate(leaky, shown(3), device=device, initial=drawn, progress=False)
    assert np.allclose(
        found.outputs.values, drawn["cells.v"] * 0.9 ** np.arange(1, 6)[:, None, None], rtol=1e-12
    )
