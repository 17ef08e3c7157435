"""Brian2's C++ standalone: compiled once, then run for each trial, one process on each core."""

import multiprocessing
import os
import tempfile

import brian2_networks
import numpy as np
from brian2 import BrianLogger, SpikeMonitor, StateMonitor, device, ms, set_device


def build(point, net):
    """The simulation of a point."""
    return Simulation(point, net)


class Simulation:
    """Trials in a compiled Brian2 network.

    Parameters
    ----------
    point : workloads.Point
    net : SimpleNamespace
    """

    def __init__(self, point, net):
        BrianLogger.log_level_error()
        self.point, self.net = point, net
        self.folder = tempfile.TemporaryDirectory(prefix="brian2_")
        set_device("cpp_standalone", build_on_run=False, directory=self.folder.name)
        network = brian2_networks.build(point, net).network
        self.stimulus = network["source"].namespace["stim"]
        self.output = StateMonitor(network["out"], "o", record=True)
        self.spikes = SpikeMonitor(network["cells"], record=False)
        network.add(self.output, self.spikes)
        network.run(net.t * net.dt * ms)
        device.build(directory=self.folder.name, compile=True, run=False, with_output=False)
        self.processes = len(os.sched_getaffinity(0))
        # forked, so that every process has the built device, as Brian2 recommends
        self.pool = multiprocessing.get_context("fork").Pool(self.processes, _hand_over, (self,))
        self.count = 0

    def update(self):
        """All trials once; the loss."""
        outputs, counts = zip(*self.pool.map(_trial, range(self.net.batch), chunksize=1), strict=True)
        self.count = sum(counts)
        return float(((np.stack(outputs, 1)[..., None] - self.net.target) ** 2).mean())

    def trial(self, number):
        """Output and number of spikes of one trial."""
        values = self.net.stimulus[:, number].astype(float)
        device.run(
            results_directory=f"results_{os.getpid()}", with_output=False, run_args={self.stimulus: values}
        )
        return np.array(self.output.o[0]), int(self.spikes.num_spikes)

    def rate_hz(self):
        """Mean firing rate in the last trials."""
        seconds = self.net.t * self.net.dt / 1000
        return self.count / (self.net.batch * self.net.n * seconds)

    def gradient_norm(self):
        """Brian2 has no gradients."""
        return None


_simulation = None


def _hand_over(simulation):
    global _simulation
    _simulation = simulation


def _trial(number):
    return _simulation.trial(number)
