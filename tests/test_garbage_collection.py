import gc
import weakref

import brian2
import pytest

from brianbridge import garbage_collection
from brianbridge.garbage_collection import spared_from_collection


class Cycle:
    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def outside_of_any_block(monkeypatch):
    monkeypatch.setattr(garbage_collection, "_blocks", 0)
    gc.unfreeze()


def test_what_was_there_before_stays_until_the_end():
    cycle = Cycle()
    seen = weakref.ref(cycle)
    with spared_from_collection():
        del cycle
        with spared_from_collection():
            pass
        gc.collect()
        assert seen() is not None
    gc.collect()
    assert seen() is None


def test_what_is_made_within_is_collected():
    with spared_from_collection():
        seen = weakref.ref(Cycle())
        gc.collect()
        assert seen() is None


def test_a_failure_ends_it_too():
    cycle = Cycle()
    seen = weakref.ref(cycle)
    with pytest.raises(ZeroDivisionError), spared_from_collection():
        raise ZeroDivisionError
    del cycle
    gc.collect()
    assert seen() is None


def test_brian2_does_collect_at_every_run():
    """Otherwise the block has lost its reason."""
    collected = []
    gc.callbacks.append(lambda phase, info: collected.append(info["generation"]))
    try:
        network = brian2.Network(brian2.NeuronGroup(1, "v : 1", name="cells"))
        collected.clear()
        network.run(0 * brian2.second)
    finally:
        gc.callbacks.pop()
    assert 2 in collected
