"""Spyx: `RCuBaLIF` with decays for each cell, run by its `run` (a compiled scan); threshold one number.

It resets by subtraction, which for these cells comes to the same as a reset to rest.
"""

import jax.numpy as jnp
import spyx.axn
import spyx.nn
import workloads
from flax import nnx

from implementations.jax_training import Training, arrays, exponential_filter


class _Network(nnx.Module):
    def __init__(self, net):
        rngs = nnx.Rngs(0)
        self.inputs = nnx.Linear(workloads.CHANNELS, net.n, rngs=rngs)
        self.cells = spyx.nn.RCuBaLIF(
            (net.n,),
            threshold=float((net.theta - net.v_rest).mean()),
            activation=spyx.axn.boxcar(width=workloads.WIDTH, height=net.height),
            rngs=rngs,
        )
        self.readout = nnx.Linear(net.n, 1, use_bias=False, rngs=rngs)
        per_tau_m, per_tau_s = (
            net.dt / net.tau_m,
            net.dt / net.tau_s,
        )
        # a current adds to the voltage undivided
        self.inputs.kernel[...] = jnp.asarray(net.W_in.T * per_tau_s * per_tau_m)
        self.inputs.bias[...] = jnp.asarray(net.drive * per_tau_s * per_tau_m)
        self.cells.alpha[...] = jnp.asarray(1 - per_tau_s)
        self.cells.beta[...] = jnp.asarray(1 - per_tau_m)
        self.cells.recurrent_w[...] = jnp.asarray(net.W.T * per_tau_m)
        self.readout.kernel[...] = jnp.asarray(net.W_out.T)


def build(point, net):
    """The training of a point."""
    definition, parameters = nnx.split(_Network(net))
    stimulus, target, mask = arrays(net, "stimulus", "target", "mask").values()

    def loss(parameters):
        network = nnx.merge(definition, parameters)
        z, _ = spyx.nn.run(network.cells, network.inputs(stimulus))
        output = exponential_filter(network.readout(z), 1 - net.dt / workloads.TAU_OUT)
        return ((output - target) ** 2).mean(), z.mean()

    def masked(gradient):
        gradient.cells.recurrent_w[...] = gradient.cells.recurrent_w[...] * mask.T
        return gradient

    return Training(point, parameters, loss, masked)
