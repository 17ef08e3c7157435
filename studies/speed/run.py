"""How fast networks are trained, and how much memory it takes: brianbridge beside other libraries.

    python studies/speed/run.py [--workload NAMES] [--implementations NAMES] [--out FILE]

Every implementation of a network has a process of its own. They take turns, so that what else the machine
does hits all of them alike. In its turn each makes two updates, of which the second counts. What FILE holds
already is not measured again. A table (.md) and a figure of the scaling (.png) are written beside FILE (JSON,
a list of records). Names are joined by commas.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import machine
import workloads
from implementations import IMPLEMENTATIONS
from processes import Failed, Process
from results import Results, key, table
from tqdm import tqdm

WARM_UP = 2
UPDATES = 5, 25  # at least, and at most
ENOUGH = 30.0  # s, after which the least number of updates is enough
SETTLE = 0.25  # s before a turn, in which the threads of the one before go to sleep
LONG = 1.0  # s: an update for which it does not matter whether its own threads were awake
SECONDS = 600.0  # for one answer, compilation included
# Parts of the machine's memory:
TOGETHER = 0.35  # who does not fit in with the others is measured alone
MOST = 0.6  # who takes more has run out of memory


def names(allowed):
    """A type for argparse: names separated by commas."""

    def parse(text):
        unknown = [name for name in text.split(",") if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(allowed)}")
        return text.split(",")

    return parse


def arguments():
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    everything, everyone = list(workloads.POINTS), list(IMPLEMENTATIONS)
    parser.add_argument("--workload", metavar="NAMES", type=names(everything), default=everything)
    parser.add_argument("--implementations", metavar="NAMES", type=names(everyone), default=everyone)
    parser.add_argument("--out", metavar="FILE", type=Path, default=here / "out" / "results.json")
    parser.add_argument("--redo", action="store_true", help="measure again what FILE holds")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="default: all cores")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, to see that everything runs")
    return parser.parse_args()


def main():
    options = arguments()
    results = Results(options.out)
    plan = [
        (point, missing)
        for workload in options.workload
        for point in workloads.points(workload, options.tiny)
        if (missing := [i for i in options.implementations if options.redo or key(point, i) not in results])
    ]
    with tqdm(total=sum(len(missing) for _, missing in plan), unit="measurement") as progress:
        for point, missing in plan:
            progress.set_description(str(point))
            for record in measure(point, missing, options.threads, 0 if options.tiny else ENOUGH):
                results.add(record)
                progress.update()
    write_summaries(results)
    return results


def write_summaries(results):
    """The table and the figure."""
    from figure import draw  # only now: the processes would inherit the memory that matplotlib takes

    results.save({results.path.with_suffix(".md"): table(results.records)})
    draw(results.records, results.path.with_suffix(".png"))


def measure(point, implementations, threads, enough):
    """Records of the implementations of one point, which take turns until they have had `enough` seconds."""
    common = {"threads": threads, "gflops": round(machine.gflops(), 1)}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    runs = []
    for name in implementations:
        run = Run(point, name, common)
        run.start(threads, round(MOST * memory, 1))
        runs.append(run)
        if sum(each.peak_gb() for each in runs) > TOGETHER * memory:
            take_turns([run], enough)
    take_turns(runs, enough)
    for run in runs:
        yield run.record()


class Run:
    """The updates of one implementation of one point.

    Parameters
    ----------
    point : workloads.Point
    name : str
        The implementation.
    common : dict
        What all records of the point hold.
    """

    def __init__(self, point, name, common):
        self.point, self.name, self.common = point, name, common
        self.process, self.reason, self.found = None, None, {}
        self.warm_up, self.seconds = [], []

    def start(self, threads, gigabytes):
        """Start the process and warm it up."""
        try:
            self.process = Process(self.name, self.point, threads, gigabytes, SECONDS)
        except Failed as failure:
            self.reason = str(failure)
        for _ in range(WARM_UP):
            self.warm_up.append(self.update())

    def turn(self):
        """One more update as in a training, where another one was just before; unless it has ended."""
        if self.process:
            time.sleep(SETTLE)
        seconds = self.update()
        if seconds is not None and seconds < LONG:
            seconds = self.update()
        if seconds is not None:
            self.seconds.append(seconds)

    def update(self):
        """Seconds of an update; None if it has ended."""
        answer = self._ask("update") if self.process else None
        if answer is None:
            return None
        self.found["loss"] = answer["loss"]
        return answer["seconds"]

    def finish(self):
        """Ask for what is to be known at the end, and end the process."""
        if self.process:
            self.found |= {"base_mb": self.process.base_mb} | (self._ask("finish") or {})
        if self.process:
            self.process.close()
            self.process = None

    def _ask(self, request):
        try:
            return self.process.ask(request)
        except Failed as failure:
            self.reason = str(failure)
            self.process.close()
            self.process = None

    def peak_gb(self):
        """What the process has taken so far."""
        if not self.process:
            return 0.0
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1e6

    def record(self):
        """What was measured, or the reason why nothing was."""
        point = self.point
        record = {"workload": point.workload, "implementation": self.name}
        record |= {"n": point.n, "t": point.t, "batch": point.batch, "dt_ms": point.dt} | self.common
        if self.reason:
            nothing = dict.fromkeys(("update_ms", "spread", "peak_mb", "rate_hz", "versions"))
            return record | nothing | {"reason": self.reason}
        lower, median, upper = statistics.quantiles([1000 * s for s in self.seconds], n=4)
        record |= {"update_ms": median, "spread": upper - lower, "updates": len(self.seconds)}
        record |= {"first_update_ms": 1000 * self.warm_up[0]}
        if not point.training:
            record["trials_per_second"] = 1000 * point.batch / median
        return record | self.found


def take_turns(runs, enough):
    """One turn each, again and again; then all processes end."""
    start = time.monotonic()
    least, most = UPDATES
    for done in range(most):
        if done >= least and time.monotonic() - start > enough:
            break
        for run in runs:
            run.turn()
    for run in runs:
        run.finish()


if __name__ == "__main__":
    main()
