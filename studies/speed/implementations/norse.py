"""Norse: `LIFRecurrent` with tensors of parameters for each cell; it has no resistance."""

import norse.torch as norse
import torch
import workloads
from norse.torch.functional.lif import LIFState

from implementations.torch_training import Training, exponential_filter, tensors


def build(point, net):
    """The training of a point."""
    p = tensors(net, "W_out", "theta", "v_rest", "v_reset")
    tau_s_inv = torch.nn.Parameter(1000 / torch.as_tensor(net.tau_s))  # 1/s
    tau_m_inv = torch.nn.Parameter(1000 / torch.as_tensor(net.tau_m))
    cells = norse.LIFRecurrent(
        workloads.CHANNELS + 1,
        net.n,
        p=norse.LIFParameters(
            tau_s_inv,
            tau_m_inv,
            p["v_rest"],
            p["theta"],
            p["v_reset"],
            method="triangle",
            alpha=net.height,
        ),
        input_weights=torch.nn.Parameter(drive_and_inputs(net)),
        recurrent_weights=torch.nn.Parameter(torch.as_tensor(net.W)),
        dt=net.dt / 1000,
    )
    mask = torch.as_tensor(net.mask)
    cells.recurrent_weights.register_hook(lambda gradient: gradient * mask)
    stimulus = torch.cat([torch.as_tensor(net.stimulus), torch.ones(net.t, net.batch, 1)], 2)
    nothing = torch.zeros(net.batch, net.n)

    def simulate():
        start = LIFState(z=nothing, v=p["v_rest"].expand(net.batch, net.n), i=nothing)
        z, _ = cells(stimulus, start)
        return exponential_filter(z @ p["W_out"].t(), 1 - net.dt / workloads.TAU_OUT), z

    parameters = [*p.values(), tau_s_inv, tau_m_inv, cells.input_weights, cells.recurrent_weights]
    return Training(point, net, parameters, simulate)


def drive_and_inputs(net):
    """Weights with which the decaying current has the same mean: here a jump adds to it undivided."""
    weights = torch.cat([torch.as_tensor(net.W_in), torch.as_tensor(net.drive)[:, None]], 1)
    return weights * net.dt / torch.as_tensor(net.tau_s)[:, None]
