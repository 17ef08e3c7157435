"""Where the time of an update goes: the share of every part of the network's step, forward and back.

    python studies/speed/profile_parts.py [--workload NAMES]

The kernel is compiled once more with counters of the processor's clock (``-DPROFILE``), and takes updates
with one thread. Shares are of the time inside the kernel.
"""

import argparse
import ctypes

import brian2_networks
import torch
import workloads
from brian2 import BrianLogger, prefs
from implementations.brianbridge import spike_gradient

import brianbridge as bb
from brianbridge.kernels import compiler

UPDATES = 5
COMPARED = "shared_decay", "synaptic_decay", "conductance", "delays", "plasticity", "rate"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workload", metavar="NAMES", default=",".join(COMPARED), help="joined by commas")
    names = parser.parse_args().workload.split(",")
    if unknown := set(names) - set(workloads.POINTS):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(workloads.POINTS)}")
    BrianLogger.log_level_error()
    prefs.codegen.target = "numpy"
    torch.set_num_threads(1)
    compiler.FLAGS += ("-DPROFILE",)
    for name in names:
        show(workloads.points(name)[0])


def show(point):
    """Print the table of one point."""
    parts, forward, backward = ticks(point)
    total = sum(forward) + sum(backward)
    print(f"\n## {point}\n\n| part | elements | forward | backward |\n|---|---|---|---|")
    for part, *counts in zip(parts, forward, backward, strict=True):
        shares = " | ".join(f"{count / total:.0%}" for count in counts)
        print(f"| {part.block.name} | {part.block.size} | {shares} |")


def ticks(point):
    """Parts of the step, and the clock ticks that each takes in all updates but the first."""
    net = workloads.network(point)
    made = brian2_networks.build(point, net)
    model = bb.wrap(made.network, train=made.train)
    gradient = spike_gradient(point, made.span)
    surrogate = bb.Surrogate(model, gradient, reset_gradient=False, backend="compiled")
    update(surrogate, net)
    (kernel,) = surrogate._backend.kernels.values()
    code = compiler.library(kernel.source.text, single=True)
    counters = ctypes.c_int64 * len(kernel.rendered.parts)
    counted = [counters.in_dll(code, f"{direction}_ticks") for direction in ("forward", "backward")]
    for counts in counted:
        ctypes.memset(counts, 0, ctypes.sizeof(counts))
    for _ in range(UPDATES):
        update(surrogate, net)
    return kernel.rendered.parts, *map(list, counted)


def update(surrogate, net):
    """Forward and backward pass."""
    records = surrogate({"stim": torch.as_tensor(net.stimulus)}, record=("out.o",))
    ((records["out.o"] - torch.as_tensor(net.target)) ** 2).mean().backward()


if __name__ == "__main__":
    main()
