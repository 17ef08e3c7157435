"""PyTorch by hand with a state for every existing synapse, gathered and added up by index."""

import torch

from implementations.eager import li2020_parameters, li2020_simulation
from implementations.torch_training import Training


def build(point, net):
    """The training of a point."""
    p, fixed = li2020_parameters(net)
    pre, post = fixed["pre"], fixed["post"]
    nothing = torch.zeros(net.batch, net.n)

    def simulate():
        keep, jump = 1 - net.dt / p["tau"], p["w"] / p["tau"]
        start = torch.zeros(net.batch, len(pre))
        return li2020_simulation(
            net,
            p,
            fixed,
            start,
            step=lambda s, z: keep * s + jump * z[:, pre],
            current=lambda s: nothing.index_add(1, post, s),
        )

    return Training(point, net, list(p.values()), simulate)
