"""SpikingJelly: `CUBALIFNode`, whose decays and threshold are one number for all cells and are not trained.

Its `LinearRecurrentContainer` multiplies the inputs by a second matrix of the size of the recurrent one. Here
they are added instead, which is faster.
"""

import torch
import workloads
from spikingjelly.activation_based import functional, neuron, surrogate

from implementations.torch_training import Training, exponential_filter, tensors


def build(point, net):
    """The training of a point."""
    p = tensors(net, "W", "W_in", "W_out", "drive")
    per_tau_m, per_tau_s = (float(net.dt / tau.mean()) for tau in (net.tau_m, net.tau_s))
    with torch.no_grad():  # a current adds to the voltage undivided
        p["W"] *= per_tau_m
        p["W_in"] *= per_tau_m * per_tau_s
        p["drive"] *= per_tau_m * per_tau_s
    cells = neuron.CUBALIFNode(
        c_decay=1 - per_tau_s,
        v_decay=1 - per_tau_m,
        v_threshold=float((net.theta - net.v_rest).mean()),
        v_reset=0.0,
        surrogate_function=surrogate.SuperSpike(alpha=net.height * workloads.WIDTH / 2),
    )
    cells.detach_reset = True
    mask = torch.as_tensor(net.mask)
    p["W"].register_hook(lambda gradient: gradient * mask)
    stimulus = torch.as_tensor(net.stimulus)

    def simulate():
        functional.reset_net(cells)
        W, z, spikes = p["W"].t(), torch.zeros(net.batch, net.n), []
        for x in (stimulus @ p["W_in"].t() + p["drive"]).unbind(0):
            z = cells(torch.addmm(x, z, W))
            spikes.append(z)
        z = torch.stack(spikes)
        return exponential_filter(z @ p["W_out"].t(), 1 - net.dt / workloads.TAU_OUT), z

    return Training(point, net, list(p.values()), simulate)
