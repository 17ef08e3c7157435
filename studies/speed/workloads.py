"""What is measured: sizes, and networks as plain arrays from which every implementation builds its own.

One network serves most workloads: leaky integrate-and-fire cells, a fifth of all connections, four inputs,
one linear readout. Voltages in mV, times in ms, currents in nA through 1 Mohm. An implementation may have to
scale weights to its own conventions, but the cells do the same, and fire at the same rate.
"""

from dataclasses import asdict, dataclass
from types import SimpleNamespace

import numpy as np

CHANNELS = 4
TAU_OUT = 20.0  # ms, of the readout
V_REST = -65.0  # mV, also the reset
SPAN = 15.0  # mV from there to the threshold; 1 where voltages go from 0 to 1
WIDTH = 5.0  # mV, half of the base of the triangle that is the spike gradient
LEARNING_RATE = 1e-5  # so small that the rate stays what it is while updates are timed


@dataclass(frozen=True)
class Point:
    """One measurement that every implementation repeats.

    Parameters
    ----------
    workload : str
    n : int
        Neurons.
    t : int
        Time steps.
    batch : int
        Trials in one update.
    dt : float
        Time step in ms.
    density : float
        Probability of a connection.
    """

    workload: str
    n: int = 400
    t: int = 1000
    batch: int = 10
    dt: float = 1.0
    density: float = 0.2

    @property
    def training(self):
        """Whether gradients are computed and parameters updated."""
        return self.workload != "forward"

    @property
    def height(self):
        """Peak of the spike gradient in 1/mV: so small that gradients do not grow without bounds."""
        return 0.02 * self.dt

    def as_dict(self):
        return asdict(self)

    def __str__(self):
        return f"{self.workload} n={self.n} t={self.t} batch={self.batch}"


def _scaling():
    """From the common size along each axis, and corners where fixed costs or one large product dominate."""
    sizes = [(n, 1000, 10) for n in (100, 200, 400, 800, 1600, 3200)]
    sizes += [(400, t, 10) for t in (100, 300, 3000, 10_000)]
    sizes += [(400, 1000, batch) for batch in (1, 3, 30, 100)]
    sizes += [(100, 100, 1), (100, 1000, 100), (100, 10_000, 10), (3200, 1000, 1)]
    return [Point("scaling", *size) for size in sizes]


POINTS = {
    "shared_decay": [Point("shared_decay")],
    "synaptic_decay": [Point("synaptic_decay")],
    "synaptic_decay_dense": [Point("synaptic_decay_dense", density=1.0)],
    "scaling": _scaling(),
    "adex": [Point("adex")],
    "conductance": [Point("conductance")],
    "delays": [Point("delays")],
    "plasticity": [Point("plasticity", n=100, t=t, batch=4, dt=0.1) for t in (3000, 10_000, 30_000)],
    "rate": [
        Point("rate", n=200, t=300, batch=1, dt=5.0),  # Kim & Sejnowski 2019
        Point("rate", n=500, t=220, batch=20, dt=20.0, density=0.18),  # Song et al. 2016, working memory
    ],
    "forward": [Point("forward", batch=100)],
}


def points(workload, tiny=False):
    """The points of a workload; if `tiny`, one that only shows that everything runs."""
    full = POINTS[workload]
    if not tiny:
        return full
    small = (20, 50, 2) if full[0].dt >= 1 else (40, 1000, 2)  # long enough that there are spikes
    return [Point(workload, *small, full[0].dt, full[0].density)]


def network(point):
    """Arrays of the network of a point, the same in every process.

    Returns
    -------
    SimpleNamespace
        float32 unless they are indices: `stimulus` (t, batch, channels), `target` (t, batch, 1), `W_in` (n,
        channels), `W` and `mask` (n, n), row: postsynaptic, `W_out` (1, n), and what the workload adds.
    """
    rng = np.random.default_rng(1)
    net = SimpleNamespace(n=point.n, t=point.t, batch=point.batch, dt=point.dt, height=point.height)
    _trials(net, rng)
    _connect(net, rng, point.density)
    _ADDED[point.workload](net, rng)
    for name, value in vars(net).items():
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            setattr(net, name, value.astype(np.float32))
    return net


def _trials(net, rng):
    """Slow sine waves with noise, and a sine wave of 2 Hz to answer."""
    seconds = np.arange(net.t)[:, None, None] * net.dt / 1000
    shape = 1, net.batch, CHANNELS
    net.stimulus = np.sin(2 * np.pi * (rng.uniform(1, 5, shape) * seconds + rng.random(shape)))
    net.stimulus += 0.5 * rng.standard_normal((net.t, net.batch, CHANNELS))
    net.target = np.repeat(np.sin(2 * np.pi * 2 * seconds), net.batch, axis=1)


def _connect(net, rng, density):
    net.mask = (rng.random((net.n, net.n)) < density) & ~np.eye(net.n, dtype=bool)
    fan_in = max(1.0, density * net.n)
    net.W = net.mask * rng.standard_normal((net.n, net.n)) * 4 / np.sqrt(fan_in)
    net.W_in = 4 * rng.standard_normal((net.n, CHANNELS))
    net.W_out = rng.standard_normal((1, net.n)) / np.sqrt(net.n)
    net.fan_in = fan_in


def _cells(net, rng):
    """What every cell has of its own; drive and inputs pass through its current, as in most libraries."""
    net.tau_m = rng.uniform(10, 30, net.n)
    net.tau_s = rng.uniform(5, 50, net.n)
    net.theta = rng.uniform(-51, -49, net.n)
    net.v_rest = np.full(net.n, V_REST)
    net.v_reset = np.full(net.n, V_REST)
    net.R = np.ones(net.n)
    net.drive = np.full(net.n, 14.0)


def _synaptic_decay(net, rng):
    """A decay constant for every synapse, parameters and readout of Li, Kim & Sejnowski (2020), no noise."""
    _cells(net, rng)
    _pairs(net)
    net.tau = rng.uniform(5, 50, len(net.pre))
    net.w = net.w * 20  # a spike adds w*(1 ms)/tau
    net.ahp = np.zeros(net.n)
    net.tau_r = rng.uniform(10, 30, net.n)


def _pairs(net):
    """Connected pairs and their weights, sorted by the presynaptic cell."""
    net.pre, net.post = np.nonzero(net.mask.T)
    net.w = net.W[net.post, net.pre]


def _adex(net, rng):
    """Brette & Gerstner (2005), currents divided by the leak conductance."""
    _cells(net, rng)
    net.tau_m = rng.uniform(9, 15, net.n)
    net.drive = np.full(net.n, 19.5)
    net.v_T = rng.uniform(-51, -49, net.n)
    net.delta_T, net.tau_w, net.a, net.b = 2.0, 144.0, 0.13, 2.7
    net.v_cut = net.v_T + 5 * net.delta_T


def _conductance(net, rng):
    """Conductances in units of the leak; the last fifth of the cells is inhibitory."""
    _cells(net, rng)
    net.inhibitory = np.arange(net.n) >= 0.8 * net.n
    net.W = np.abs(net.W) * np.where(net.inhibitory, 0.1, 0.02)
    net.tau_e, net.tau_i = np.full(net.n, 5.0), np.full(net.n, 10.0)
    net.E_e, net.E_i = 0.0, -80.0


def _delays(net, rng):
    """Every synapse has a delay of 1 to 5 ms."""
    _cells(net, rng)
    net.delay = rng.integers(1, 6, net.W.shape)  # steps


def _plasticity(net, rng):
    """Facilitating synapses (Mongillo, Barak & Tsodyks 2008) with delays of 0.1 to 5 ms; no noise."""
    net.tau_m, net.refractory = 15.0, 2.0
    net.W = 0.4 * net.mask * rng.random(net.mask.shape) * 20 / net.fan_in
    net.W_in = net.W_in * 0.005
    net.drive = rng.uniform(0.67, 0.97, net.n)
    net.delay = rng.integers(1, 51, net.W.shape)  # steps
    net.U = rng.uniform(0.15, 0.25, net.n)
    net.tau_f, net.tau_d = rng.uniform(1200, 1800, net.n), rng.uniform(150, 250, net.n)


def _rate(net, rng):
    """Rates with Dale's law: logistic, a time constant each (Kim); rectified, sparse inhibition (Song)."""
    net.rectified = net.dt == 20.0
    net.sign = np.where(np.arange(net.n) < 0.8 * net.n, 1.0, -1.0)
    if net.rectified:
        probability = np.where(net.sign > 0, 0.1, 0.5)
        net.mask = (rng.random(net.mask.shape) < probability) & ~np.eye(net.n, dtype=bool)
    strength = rng.gamma(2, 1, net.W.shape) * np.where(net.sign > 0, 1, 4)
    net.W = net.mask * strength * net.sign
    net.W *= 1.5 / np.abs(np.linalg.eigvals(net.W)).max()
    net.W_in = np.abs(net.W_in) / 40 if net.rectified else net.W_in / 4
    net.W_out = net.W_out / 10
    net.tau = np.full(net.n, 100.0) if net.rectified else rng.uniform(20, 125, net.n)
    net.noise = 0.095 if net.rectified else 0.1  # SD of what one step adds
    net.b = np.zeros(1)


_ADDED = {
    "shared_decay": _cells,
    "scaling": _cells,
    "forward": _cells,
    "synaptic_decay": _synaptic_decay,
    "synaptic_decay_dense": _synaptic_decay,
    "adex": _adex,
    "conductance": _conductance,
    "delays": _delays,
    "plasticity": _plasticity,
    "rate": _rate,
}
