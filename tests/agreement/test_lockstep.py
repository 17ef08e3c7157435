"""Both back ends in lockstep: from one state, a step of the kernel is the step of PyTorch up to rounding.

Over whole runs, networks amplify rounding; from step to step there is nothing to amplify it.
"""

import brian2
import pytest
import torch
from brian2.tests.features import speed

from brianbridge.model.capture import capture
from brianbridge.surrogate.module import Surrogate
from tests.agreement.test_brian2_features import ReachedRun
from tests.agreement.test_brian2_features import run as reach_run
from tests.agreement.test_continuing import network as every_kind_of_input
from tests.agreement.test_working_memory import working_memory
from tests.networks import small_network
from tests.typical_networks import NAMES, TYPICAL

STATES = 1e-12  # of the largest element of a variable
EVERY = 10  # steps
OF_BRIAN2 = ["COBAHHFixedConnectivity", "HHNeuronsOnly"]
OF_BRIAN2 += [pytest.param(name, marks=pytest.mark.slow) for name in ("CUBAFixedConnectivity", "STDP")]


def assert_lockstep(model, comparisons):
    """From the states of an eager simulation, every tenth step of both back ends is the same.

    Returns
    -------
    float
        Number of events in the steps that were compared.
    """
    eager, compiled = (
        Surrogate(model, dtype=torch.float64, backend=backend) for backend in ("eager", "compiled")
    )
    events = 0
    with torch.no_grad():
        state = eager(duration=EVERY * eager.dt, seed=1, batch=2).final
        for _ in range(comparisons):
            expected, found = (s(duration=s.dt, initial=state).final for s in (eager, compiled))
            assert found.step == expected.step and found.seed == expected.seed
            for key, value in expected.items():
                assert_close(found[key], value, key)
            events += sum(float(value.sum()) for key, value in expected.items() if key.startswith("spikes "))
            state = eager(duration=(EVERY - 1) * eager.dt, initial=expected).final
    return events


def assert_close(found, expected, name):
    if isinstance(expected, tuple):
        found, expected = (torch.stack(events) for events in (found, expected))
    assert found.shape == expected.shape and found.dtype == expected.dtype, name
    if name.startswith(("spikes ", "past ")) or not expected.is_floating_point() or not expected.numel():
        assert torch.equal(found, expected), name
        return
    finite = expected.isfinite()  # a neuron of HHNeuronsOnly meets 0/0, in Brian2 as well
    assert torch.equal(found.isfinite(), finite) and finite.any(), name
    found, expected = found[finite], expected[finite]
    far = ((found - expected).abs().max() / (expected.abs().max() or 1)).item()
    assert far <= STATES, f"{name} differs by {far:.3g} of its largest element"


@pytest.mark.parametrize("name", NAMES)
def test_typical_networks(name):
    model, _ = TYPICAL[name]()
    assert assert_lockstep(model, 40) > 3


@pytest.mark.parametrize("name", OF_BRIAN2)
def test_networks_of_brian2(name, monkeypatch):
    monkeypatch.setattr(brian2, "run", reach_run)
    monkeypatch.setattr(speed, "run", reach_run, raising=False)
    with pytest.raises(ReachedRun) as reached:
        getattr(speed, name)(40).run()
    network, namespace, _ = reached.value.args
    assert_lockstep(capture(network, namespace), 30)


def test_a_network_with_a_sum_a_delay_and_timed_input():
    assert_lockstep(capture(small_network()[0], {}), 20)


def test_inputs_clocks_and_operations():
    assert assert_lockstep(capture(every_kind_of_input("1*ms*(j % 2)"), {}), 30) > 3


def test_working_memory():
    assert assert_lockstep(capture(working_memory(), {}), 30) > 3
