"""One implementation of one point in a process of its own, which answers requests on its standard input.

    python worker.py IMPLEMENTATION POINT THREADS GIGABYTES

POINT is a JSON object. Each answer is one line of JSON: when ready, after ``update``, and after ``finish``.
"""

import importlib
import json
import math
import os
import platform
import resource
import sys
import time
import traceback
from importlib.metadata import version


def main():
    name, point, threads, gigabytes = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries and compilers print is no answer
    try:
        for answer in answers_of(name, json.loads(point), int(threads), float(gigabytes)):
            print(json.dumps(answer), file=answers, flush=True)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"reason": reason_of(error, gigabytes)}), file=answers, flush=True)


def answers_of(name, point, threads, gigabytes):
    """Answers to the requests, one after another."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # before any library counts the cores
    limit = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    import workloads  # only now: numpy, too, counts the cores
    from implementations import IMPLEMENTATIONS

    point = workloads.Point(**point)
    implementation = importlib.import_module(f"implementations.{name}")
    training = implementation.build(point, workloads.network(point))
    yield {"base_mb": round(peak_mb())}
    for request in sys.stdin:
        if request.strip() == "finish":
            break
        yield timed(training)
    peak = peak_mb()  # before the spikes are counted
    versions = {package: version(package) for package in IMPLEMENTATIONS[name].packages}
    norm = training.gradient_norm()
    yield {
        "peak_mb": round(peak),
        "rate_hz": training.rate_hz(),
        "gradient_norm": norm if norm is None or math.isfinite(norm) else None,  # JSON has no other number
        "versions": {"python": platform.python_version()} | versions,
    }


def timed(training):
    """One update: how long it took, and the loss, which must be a number."""
    start = time.perf_counter()
    loss = training.update()
    seconds = time.perf_counter() - start
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss}")
    return {"seconds": seconds, "loss": loss}


def peak_mb():
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reason_of(error, gigabytes):
    """Why it failed, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(
        s in text for s in ("allocate memory", "RESOURCE_EXHAUSTED", "bad_alloc")
    ):
        return f"out of memory: more than {gigabytes} GB"
    return f"{type(error).__name__}: {text}"[:300]


if __name__ == "__main__":
    main()
