"""The main job on real equations: load, train, write back into Brian2, check there, report.

    python studies/demo/run.py [--cells 60] [--seed 1] [--updates 600] [--out studies/demo/out]

Trains a reduced network of Li, Kim & Sejnowski (2020) on their context-dependent integration task until 98 %
of fresh trials are correct by their rule (the output crosses +0.8 or -0.8), and checks that the trained
network is the same network in Brian2, and as good there at 0.1 ms. Writes ``trained.safetensors``,
``report.html`` and ``report.json``.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from brian2 import BrianLogger, ms, mV, prefs
from findings import add_findings

import brianbridge as bb
from brianbridge.comparison.same_trials import same_trials

WANTED = 0.98
CHECKS = ("transcription", "performance", "constraints")
LEARNING_RATES = {"rec.w": 0.05, "w_in.w": 1.0, "w_out.w": 0.3}  # pA, pA, 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=60, help="neurons (the paper has 400)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--updates", type=int, default=600, help="give up after so many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out")
    return parser.parse_args()


def train(model, task, options):
    """Backpropagation through time with the box spike gradient, until the criterion is met.

    Training trials are shorter where nothing happens; the criterion is met on trials of the full length.
    """
    surrogate = bb.Surrogate(model, spike_gradient=bb.Box(width=25 * mV))
    return bb.fit(
        surrogate,
        bb.tasks.ContextIntegration(fixation=100 * ms, response=200 * ms),
        validation=task,
        inputs={"stimulus": "stimulus"},
        output="out.o",
        updates=options.updates,
        seed=options.seed,
        batch=16,
        learning_rate=0.05,
        learning_rates=LEARNING_RATES,
        clip=1.0,
        stop={"accuracy": WANTED, "trials": 100, "every": 10, "loss": 15},
    )


def _verdicts(report):
    return "\n".join(
        f"   {check.verdict:<6}{check.name}: {check.value}"
        for check in report.checks
        if check.verdict != "not run"
    )


def main():
    options = arguments()
    torch.set_num_threads(1)  # at this size threads only wait for each other
    prefs.codegen.target = "numpy"  # to compile for Cython would take longer than the runs
    BrianLogger.log_level_error()
    task = bb.tasks.ContextIntegration()
    print(f"1. Loading equations/li2020.toml with {options.cells} neurons")
    model = bb.load("li2020", cells=options.cells, seed=options.seed)
    print("2. Training it on context-dependent integration")
    trained = train(model, task, options)

    print("3. Writing the trained parameters into a live Brian2 network, running a trial there")
    few = task.trials(options.seed + 1000, 1, 1 * ms)
    live = model.with_inputs({"stimulus": few.inputs["stimulus"][:, 0]}).live()  # untrained, as the file says
    trained.write_to(live.network)
    same = same_trials(trained, few, live=live, seed=options.seed)

    print("4. Checking it there: spikes step by step, performance at 1 ms and 0.1 ms, values and constraints")
    options.out.mkdir(parents=True, exist_ok=True)
    network_file = trained.save(options.out / "trained.safetensors")
    report = bb.check(network_file, ladder="quick", only=CHECKS, dt=0.1 * ms, seed=options.seed)
    add_findings(report, trained, few, same, WANTED)
    page, data = report.save(options.out / "report.html")
    print(_verdicts(report))
    print(f"\n{report.summary}\n")
    print(f"Trained network  {network_file}\nReport           {page}\nThe same as JSON {data}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
