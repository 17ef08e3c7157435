"""A training that takes milliseconds: four neurons, thirty steps; also run in processes of their own."""

import sys
from functools import cache

import numpy as np
import torch
from brian2 import *

import brianbridge as bb

STEPS = 30


class Sign:
    """Report the sign of a pulse while it lasts."""

    name, arguments = "sign", {}

    def trials(self, rng, batch, dt):
        rng = np.random.default_rng(rng)
        steps = round(STEPS * 1 * ms / dt)
        sign = rng.choice([-1.0, 1.0], batch)
        stimulus = np.tile(sign[None, :, None], (steps, 1, 4))
        targets = stimulus[:, :, :1].copy()
        return bb.tasks.Trials(
            inputs={"stimulus": stimulus},
            targets=targets,
            mask=np.ones_like(targets),
            epochs={},
            conditions={"sign": sign},
            dt=float(dt),
        )

    def score(self, output, trials):
        return np.sign(output.mean(axis=(0, 2))) == trials.conditions["sign"]


def lif_network(dt=1 * ms, sigma=2 * mV):
    """Two neurons that are driven by a positive pulse, two by a negative one."""
    names = dict(stim=TimedArray(np.zeros((STEPS, 4)), dt=1 * ms), sigma=sigma, tau_r=5 * ms)
    cells = NeuronGroup(
        4,
        """dv/dt = (drive*stim(t, i)*20*mV - v + I)/tau_m + sigma*sqrt(2/tau_m)*xi : volt (unless refractory)
        dI/dt = -I/tau_r : volt
        dr/dt = -r/tau_r : 1
        tau_m : second (constant)
        drive : 1 (constant)""",
        threshold="v > 10*mV",
        reset="v = 0*mV; r += 0.3",
        refractory=2 * ms,
        method="euler",
        namespace=names,
        name="cells",
        dt=dt,
    )
    cells.tau_m, cells.drive = [8, 9, 10, 11] * ms, [1, 0.9, -1, -1.1]
    rec = Synapses(cells, cells, "w : volt", on_pre="I_post += w", name="rec", dt=dt)
    rec.connect(i=[0, 1, 2, 3], j=[1, 0, 3, 2])
    rec.w = [1, 2, 1.5, -1] * mV
    out = NeuronGroup(1, "o : 1", name="out", dt=dt)
    w_out = Synapses(cells, out, "w : 1\no_post = w*r_pre : 1 (summed)", name="w_out", dt=dt)
    w_out.connect()
    w_out.w = [0.3, 0.2, 0.1, -0.2]
    return Network(cells, rec, out, w_out)


@cache
def lif_model(dt):
    train = {"w_out.w": None, "rec.w": None, "cells.tau_m": bb.Bounds(5 * ms, 50 * ms)}
    return bb.wrap(lif_network(dt * second), train=train)


def lif_surrogate(dt=1 * ms, backend="eager", **options):
    return bb.Surrogate(lif_model(float(dt)), bb.Triangle(width=10 * mV), backend=backend, **options)


def fit(surrogate, task=None, **arguments):
    settings = dict(inputs={"stim": "stimulus"}, output="out.o", updates=8, batch=4, seed=5, progress=False)
    return bb.fit(surrogate, task or Sign(), **(settings | arguments))


def parameters(surrogate):
    """Bits of all unconstrained values."""
    return {name: raw.detach().numpy().tobytes() for name, raw in surrogate.named_values().items()}


def columns(trained):
    """The history without what depends on the speed of the machine."""
    return {name: column for name, column in trained.history.items() if name != "seconds"}


LONG = dict(
    updates=30,
    save_every=1,
    validation=bb.training.Validation(trials=6, every=5),
    keep="best",
    carry=True,
    updates_per_batch=2,
)

if __name__ == "__main__":  # a process that is killed sooner or later
    torch.set_num_threads(1)
    prefs.codegen.target = "numpy"
    fit(lif_surrogate(), checkpoint=sys.argv[1], **LONG)
