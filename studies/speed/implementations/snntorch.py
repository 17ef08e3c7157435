"""snnTorch: `RSynaptic`, all to all, with decays and thresholds for each cell; rest and reset are zero."""

import snntorch
import torch
import workloads
from snntorch import surrogate

from implementations.torch_training import Training, exponential_filter, tensors

SLOPE = 25  # its default; in mV the integral is about that of the triangle, the peak is always 1


def build(point, net):
    """The training of a point."""
    p = tensors(net, "W_in", "W_out", "drive")
    per_tau_m, per_tau_s = (net.dt / torch.as_tensor(tau)[:, None] for tau in (net.tau_m, net.tau_s))
    with torch.no_grad():  # a current adds to the voltage undivided
        p["W_in"] *= per_tau_s * per_tau_m
        p["drive"] *= (per_tau_s * per_tau_m)[:, 0]
    cells = snntorch.RSynaptic(
        alpha=1 - per_tau_s[:, 0],
        beta=1 - per_tau_m[:, 0],
        linear_features=net.n,
        all_to_all=True,
        threshold=torch.as_tensor(net.theta - net.v_rest),
        spike_grad=surrogate.fast_sigmoid(slope=SLOPE),
        learn_alpha=True,
        learn_beta=True,
        learn_threshold=True,
        reset_mechanism="zero",
    )
    mask = torch.as_tensor(net.mask)
    with torch.no_grad():
        cells.recurrent.weight.copy_(torch.as_tensor(net.W) * per_tau_m)
        cells.recurrent.bias.zero_()
    cells.recurrent.weight.register_hook(lambda gradient: gradient * mask)
    stimulus = torch.as_tensor(net.stimulus)

    def simulate():
        z = I = v = torch.zeros(net.batch, net.n)
        spikes = []
        for x in (stimulus @ p["W_in"].t() + p["drive"]).unbind(0):
            z, I, v = cells(x, z, I, v)
            spikes.append(z)
        z = torch.stack(spikes)
        return exponential_filter(z @ p["W_out"].t(), 1 - net.dt / workloads.TAU_OUT), z

    return Training(point, net, [*p.values(), *cells.parameters()], simulate)
