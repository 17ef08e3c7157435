"""The main job on real equations: load, train, write back into Brian2, compare there, report.

    python studies/demo/run.py [--cells 60] [--seed 1] [--updates 600] [--trials 60] [--out studies/demo/out]

Trains a reduced network of Li, Kim & Sejnowski (2020) on their context-dependent integration task until 90 %
of fresh trials are correct by their rule (the output crosses +0.8 or -0.8), and shows that the trained
network is the same network in Brian2. Writes ``trained.safetensors``, ``report.html`` and ``report.json``.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from brian2 import BrianLogger, ms, mV
from findings import report_of

import brianbridge as bb
from brianbridge.comparison.same_trials import same_trials

WANTED = 0.9
LEARNING_RATES = {"rec.w": 0.05, "w_in.w": 1.0, "w_out.w": 0.3}  # pA, pA, 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=60, help="neurons (the paper has 400)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--updates", type=int, default=600, help="give up after so many")
    parser.add_argument("--trials", type=int, default=60, help="trials in Brian2 at each time step")
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


def main():
    options = arguments()
    torch.set_num_threads(1)  # at this size threads only wait for each other
    BrianLogger.log_level_error()
    task = bb.tasks.ContextIntegration()
    print(f"1. Loading equations/li2020.toml with {options.cells} neurons")
    model = bb.load("li2020", cells=options.cells, seed=options.seed)
    print("2. Training it on context-dependent integration")
    trained = train(model, task, options)

    print("3. Writing the trained parameters into a live Brian2 network, running the same trials there")
    few = task.trials(options.seed + 1000, 10, 1 * ms)
    live = model.with_inputs({"stimulus": few.inputs["stimulus"][:, 0]}).live()  # untrained, as the file says
    trained.write_to(live.network)
    same = same_trials(trained, few, live=live, seed=options.seed)
    fresh = task.trials(options.seed + 2000, options.trials, 1 * ms)
    coarse = bb.simulate(trained, fresh, random_seed=options.seed)
    fine = bb.simulate(trained, fresh, dt=0.1 * ms, random_seed=options.seed)

    print("4. Writing the report")
    options.out.mkdir(parents=True, exist_ok=True)
    network_file = trained.save(options.out / "trained.safetensors")
    report = report_of(trained, task, live, (few, same), (fresh, coarse, fine), WANTED)
    page, data = report.save(options.out / "report.html")
    print(f"\n{report.summary}\n")
    print(f"Trained network  {network_file}\nReport           {page}\nThe same as JSON {data}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
