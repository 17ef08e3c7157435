"""The feature and speed tests that Brian2 ships: what each of them is about to run agrees step by step."""

import inspect

import brian2
import pytest
from brian2 import Network, collect, defaultclock
from brian2.core.namespace import get_local_namespace
from brian2.tests import features

from tests.agreement.comparison import compare

NEURONS = 100  # in speed tests, which leave the size open
STEPS = 200
FEWER = {"SynapsesSTDP": 80}  # it has 10 000 synapses, whatever its size is set to


class ReachedRun(Exception):
    """Carries what was about to be run."""


def run(duration, level=0, **options):
    """In place of `brian2.run`: the same objects and names, and no run."""
    objects, namespace = collect(level=level + 1), get_local_namespace(level + 1)
    raise ReachedRun(Network(objects), namespace, duration)


def classes(base):
    modules = (features.input, features.monitors, features.neurongroup, features.speed, features.synapses)
    members = [value for module in modules for value in vars(module).values() if inspect.isclass(value)]
    return sorted({c for c in members if issubclass(c, base) and c is not base}, key=lambda c: c.__name__)


FEATURES, SPEEDS = classes(features.FeatureTest), classes(features.SpeedTest)
TESTS = [(c, ()) for c in FEATURES] + [(c, (NEURONS,)) for c in SPEEDS]


def test_all_are_there():
    assert (len(FEATURES), len(SPEEDS)) == (10, 10)


@pytest.mark.parametrize("test, arguments", TESTS, ids=[test.__name__ for test, _ in TESTS])
def test_feature(test, arguments, monkeypatch):
    monkeypatch.setattr(brian2, "run", run)
    if hasattr(inspect.getmodule(test), "run"):
        monkeypatch.setattr(inspect.getmodule(test), "run", run)
    with pytest.raises(ReachedRun) as reached:
        test(*arguments).run()
    network, namespace, duration = reached.value.args
    steps = FEWER.get(test.__name__, STEPS)
    if test in FEATURES:  # speed tests run a single step first, to let Brian2 prepare its code
        steps = min(steps, round(duration / defaultclock.dt))
    compare(network, steps, namespace=namespace).assert_agrees()
