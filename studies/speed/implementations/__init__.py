"""One module for each implementation, with ``build(point, network)``.

`build` returns an object with ``update()`` (one update or one pass forward; the loss), ``rate_hz()`` and
``gradient_norm()`` (of the last update).
"""

from dataclasses import dataclass

from workloads import POINTS

LIF = "shared_decay", "scaling", "forward"
PER_SYNAPSE = "synaptic_decay", "synaptic_decay_dense"


@dataclass(frozen=True)
class Implementation:
    """What runs where, and what it can do.

    Parameters
    ----------
    environment : str
        The project's own, or one that `make bench-setup` makes.
    packages : tuple of str
        Those whose versions matter.
    workloads : tuple of str
    otherwise : str
        Why it does not do the others.
    """

    environment: str
    packages: tuple
    workloads: tuple = tuple(POINTS)
    otherwise: str = ""


_LIBRARY = LIF, "libraries are compared on the integrate-and-fire network that all of them have"
_EDGES = PER_SYNAPSE, "needs no state for each synapse: see eager"

IMPLEMENTATIONS = {
    "brianbridge": Implementation("project", ("brianbridge", "brian2", "torch")),
    "brianbridge_eager": Implementation("project", ("brianbridge", "brian2", "torch")),
    "brainpy": Implementation("jax", ("brainpy", "brainstate", "jax"), *_LIBRARY),
    "spyx": Implementation("jax", ("spyx", "flax", "jax"), *_LIBRARY),
    "norse": Implementation("torch", ("norse", "torch"), *_LIBRARY),
    "snntorch": Implementation("torch", ("snntorch", "torch"), *_LIBRARY),
    "spikingjelly": Implementation("torch", ("spikingjelly", "torch"), *_LIBRARY),
    "eager": Implementation("project", ("torch",)),
    "edge_list": Implementation("project", ("torch",), *_EDGES),
    "edge_list_jax": Implementation("jax", ("jax",), *_EDGES),
    "brian2_cpp": Implementation("project", ("brian2",), ("forward",), "Brian2 has no gradients"),
}
