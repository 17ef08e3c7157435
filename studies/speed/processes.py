"""Implementations as processes that stay alive and are asked for one update at a time."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from implementations import IMPLEMENTATIONS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Failed(Exception):
    """An implementation gave no answer; the message says why, in one line."""


class Process:
    """A process in which an implementation of a point is ready.

    Parameters
    ----------
    implementation : str
    point : workloads.Point
    threads : int
    gigabytes : float
        What it may allocate.
    seconds : float
        How long an answer may take.

    Raises
    ------
    Failed
        If it does not have this workload, or does not get ready.
    """

    def __init__(self, implementation, point, threads, gigabytes, seconds):
        chosen = IMPLEMENTATIONS[implementation]
        if point.workload not in chosen.workloads:
            raise Failed(f"{point.workload}: {chosen.otherwise}")
        self.seconds = seconds
        python = interpreter(chosen.environment)
        arguments = [implementation, json.dumps(point.as_dict()), str(threads), str(gigabytes)]
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed by close)
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,  # so that its own children end with it
        )
        try:
            self.base_mb = self._answer()["base_mb"]
        except Failed:
            self.close()
            raise

    def ask(self, request):
        """The answer to a request.

        Raises
        ------
        Failed
            If the process gives a reason instead, ends, or takes too long.
        """
        try:
            print(request, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended, and its answer says why
        return self._answer()

    def _answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], self.seconds)
        if not ready:
            raise Failed(f"out of time: no answer within {self.seconds:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self._ending())
        answer = json.loads(line)
        if "reason" in answer:
            raise Failed(answer["reason"])
        return answer

    def _ending(self):
        """Why the process ended without a word."""
        status = self.process.wait()
        self.errors.seek(0)
        last = self.errors.read().strip().rpartition("\n")[2]
        if any(sign in last for sign in ("bad_alloc", "RESOURCE_EXHAUSTED", "llocat", "out of memory")):
            return f"out of memory: {last}"[:300]
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"the process ended ({how}): {last}"[:300]

    def close(self):
        """End the process, and whatever it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except BrokenPipeError:
                pass  # a request that it did not live to read


def interpreter(environment):
    """Python of an environment.

    Raises
    ------
    Failed
        If it was not set up.
    """
    if environment == "project":
        return sys.executable
    python = HERE / ".venvs" / environment / "bin" / "python"
    if not python.exists():
        raise Failed("its environment is missing: make bench-setup")
    return str(python)
