"""brianbridge as it comes: the Brian2 network, wrapped, with the default back end."""

import brian2_networks
import torch
import workloads
from brian2 import BrianLogger, prefs

import brianbridge as bb
from implementations.torch_training import Training


def build(point, net):
    """The training of a point."""
    return training(point, net, "compiled")


def training(point, net, backend):
    """The training of a point with one of the back ends."""
    BrianLogger.log_level_error()
    prefs.codegen.target = "numpy"  # Brian2 itself simulates nothing here
    brian2_network = brian2_networks.build(point, net)
    model = bb.wrap(brian2_network.network, train=brian2_network.train)
    gradient = spike_gradient(point, brian2_network.span)
    surrogate = bb.Surrogate(model, gradient, reset_gradient=False, backend=backend)
    stimulus = torch.as_tensor(net.stimulus)

    def simulate(record=("out.o",)):
        records = surrogate({"stim": stimulus}, record=record)
        return records["out.o"], records["cells"] if "cells" in record else None

    class WithSpikes(Training):
        """Spikes are recorded only to count them, after everything was measured."""

        def rate_hz(self):
            if gradient is None:
                return None
            self.simulate = lambda: simulate(("out.o", "cells"))
            return super().rate_hz()

    return WithSpikes(point, net, list(surrogate.parameters()), simulate, finish=surrogate.project)


def spike_gradient(point, span):
    """The triangle of `workloads`, where one of its millivolts is `span`; None for rates."""
    return None if span is None else bb.Triangle(width=workloads.WIDTH * span, height=point.height / span)
