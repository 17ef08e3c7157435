"""Uncoupled neurons that remember for a known time, and a task in which nothing happens."""

import numpy as np
from brian2 import Network, NeuronGroup, TimedArray, ms, second, start_scope

import brianbridge as bb
from brianbridge.tasks import Trials

EQUATIONS = """
dv/dt = (0.5 + cue(t, i) + x - v)/(10*ms) + 0.3*(10*ms)**-0.5*xi_v : 1
dx/dt = -x/tau + 0.4*(2/tau)**0.5*xi_x : 1
tau : second (constant)
"""


class Waiting:
    """An epoch in which nothing is shown but a cue that is 0 or `cue`, then a short end."""

    name, arguments = "waiting", {}

    def __init__(self, wait=1200 * ms, cue=0.0, neurons=24):
        self.wait, self.cue, self.neurons = wait, cue, neurons

    def trials(self, rng, batch, dt):
        step = float(dt)
        wait, steps = round(float(self.wait) / step), round(float(self.wait + 20 * ms) / step)
        cued = np.arange(batch) % 2
        return Trials(
            inputs={"cue": np.tile(self.cue * cued[:, None], (steps, 1, self.neurons))},
            targets=np.zeros((steps, batch, 1)),
            mask=np.ones((steps, batch, 1)),
            epochs={"wait": np.tile([0, wait], (batch, 1)), "end": np.tile([wait, steps], (batch, 1))},
            conditions={"cued": cued},
            dt=step,
        )

    def score(self, output, trials):
        return np.ones(len(trials), dtype=bool)


def remembering_network(tau_ms=100, neurons=24):
    """Neurons of this timescale."""
    start_scope()
    cue = TimedArray(np.zeros((10, neurons)), dt=1 * ms)
    cells = NeuronGroup(
        neurons,
        EQUATIONS,
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        dt=1 * ms,
        name="cells",
        namespace={"cue": cue},
    )
    cells.tau = tau_ms / 1000 * second
    model = bb.wrap(Network(cells))
    return bb.Trained(model=model, inputs={"cue": "cue"}, output="cells.v", task="waiting")
