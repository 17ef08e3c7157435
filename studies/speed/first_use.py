"""How long a first update takes: with no kernel compiled yet, and with one kept from an earlier process.

python studies/speed/first_use.py [--workload NAMES]
"""

import argparse
import os
import tempfile

import workloads
from processes import Process

SECONDS, GIGABYTES = 300, 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--workload", metavar="NAMES", default=",".join(workloads.POINTS), help="joined by commas"
    )
    names = parser.parse_args().workload.split(",")
    if unknown := set(names) - set(workloads.POINTS):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(workloads.POINTS)}")
    print("| workload | nothing compiled, s | kept on disk, s | second update, s |\n|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["BRIANBRIDGE_CACHE"] = cache
            compiled, _ = updates(workloads.points(name)[0])
            kept, second = updates(workloads.points(name)[0])
        print(f"| `{name}` | {compiled:.2f} | {kept:.2f} | {second:.2f} |", flush=True)


def updates(point):
    """Seconds of the first and the second update in a process of its own."""
    process = Process("brianbridge", point, len(os.sched_getaffinity(0)), GIGABYTES, SECONDS)
    try:
        return [process.ask("update")["seconds"] for _ in range(2)]
    finally:
        process.close()


if __name__ == "__main__":
    main()
