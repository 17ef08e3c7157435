"""Trials in Brian2's C++ standalone: compiled once, then one process on each core.

What differs between trials (timed inputs, frozen noise, seeds) and between networks of the same code
(parameters, initial states) is handed to the compiled program on its command line, like Brian2's `run_args`.
"""

import errno
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path

import numpy as np
from brian2 import SpikeMonitor, StateMonitor, prefs, second
from brian2.codegen.cpp_prefs import get_compiler_and_args
from brian2.devices.device import get_device, reset_device, runtime_device, set_device
from brian2.units.fundamentalunits import Quantity
from tqdm.auto import tqdm

from brianbridge.file_locks import alone_with, is_abandoned
from brianbridge.generation.frozen_noise import freeze_noise, frozen_arrays
from brianbridge.model.rebuild import rebuild
from brianbridge.simulation.job import Recorded, input_rows
from brianbridge.simulation.runtime import LAST
from brianbridge.termination import cleaned_up

__all__ = ["SEED", "CompiledNetwork", "DeviceMissing", "keep_builds", "kept_builds", "run"]

SEED = "BRIANBRIDGE_SEED"
PREFIX = "brianbridge_"  # of the folders in which networks are compiled
IN_USE = "in_use"
LEAST_FREE = 2**20  # bytes of a disk; with less, what fails has failed for this reason
STRIDE = 0x9E3779B9  # between the seeds of threads, far from those of other trials, which follow each other
CPP_SEED = (
    f'if (const char* given = std::getenv("{SEED}")) {{ '
    "unsigned long seed = std::strtoul(given, nullptr, 10); "
    f"for (auto& generator : _random_generators) {{ generator.seed(seed); seed += {STRIDE}UL; }} }}"
)


class DeviceMissing(RuntimeError):
    """A device cannot be used on this machine; the message says what to install."""


def run(job, *, processes=None, progress=True):
    """Compile a network with Brian2's C++ standalone, and run trials of it.

    Parameters
    ----------
    job : Job
    processes : int, optional
        Trials that run at a time; default is one on each core.
    progress : bool

    Returns
    -------
    list of Recorded

    Raises
    ------
    DeviceMissing
        If there is no C++ compiler, or no make.
    ValueError
        If the network cannot be built for a standalone device.
    """
    _check_compiler()
    with kept_builds() or keep_builds() as builds:
        network = builds.network(
            job, "cpp_standalone", lambda folder: CompiledNetwork(job, folder, "cpp_standalone", CPP_SEED)
        )
        return network.run(job, processes or cores(), progress)


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_compiler():
    compiler, _ = get_compiler_and_args()
    if compiler == "msvc":
        return
    missing = [tool for tool in (os.environ.get("CXX", "g++").split()[0], "make") if not shutil.which(tool)]
    if missing:
        raise DeviceMissing(
            f"device='cpp_standalone' compiles the network, but {' and '.join(missing)} cannot be found. "
            "Install them (apt install build-essential; conda install -c conda-forge cxx-compiler make), "
            "or use device='runtime'."
        )


# -- builds -------------------------------------------------------------------------------------------

_kept = []  # the innermost keep_builds() last


@contextmanager
def keep_builds():
    """Keep compiled networks for later simulations of the same code, and delete them at the end.

    Inside, `simulate` compiles a network once for all its perturbations of one kind, and for other
    parameters, inputs and seeds.

    Examples
    --------
    ::

        with bb.keep_builds():
            for seed in range(10):
                bb.simulate(trained, task, device="cpp_standalone", seed=seed)
    """
    _remove_abandoned()
    with (
        cleaned_up(),
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
        alone_with(Path(folder) / IN_USE, "simulation"),
    ):
        _kept.append(_Builds(Path(folder)))
        try:
            yield _kept[-1]
        finally:
            _kept.pop()


def _remove_abandoned():
    """Delete what simulations that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_abandoned(folder / IN_USE):
            shutil.rmtree(folder, ignore_errors=True)


def kept_builds():
    """The innermost `keep_builds` that is active, as a context that does not delete it; or None."""
    return nullcontext(_kept[-1]) if _kept else None


class _Builds:
    """Compiled networks by their code, the device and how it compiles."""

    def __init__(self, folder):
        self.folder, self.networks = folder, {}

    def network(self, job, device, build):
        key = _code(job), device, _compiling()
        if key not in self.networks:
            folder = self.folder / f"build_{len(self.networks)}"
            self.networks[key] = build(folder)
        return self.networks[key]


def _code(job):
    """What a build depends on: everything but the values that its command line can set."""
    zeros = {
        (group.name, name): np.zeros_like(value)
        for group in job.model.groups
        for name, value in group.values.items()
    }
    inputs = {timed.name: np.zeros_like(timed.values) for timed in job.model.inputs}
    model = job.model.with_values(zeros).with_inputs(inputs)
    functions = tuple(map(id, model.functions.values()))  # which are no part of the hash
    return model.hash, functions, job.record, job.steps, tuple(sorted(job.noise)), tuple(sorted(job.initial))


def _compiling():
    """Brian2's preferences that a compiled program depends on."""
    chosen = ("core.default_float_dtype", "codegen.cpp.", "devices.")
    return repr([(name, prefs[name]) for name in sorted(prefs) if name.startswith(chosen)])


# -- one compiled network -----------------------------------------------------------------------------


def _names_full_disk(method):
    """A method that says so where it fails because the disk with the network's folder is full."""

    @wraps(method)
    def named(self, *arguments):
        try:
            return method(self, *arguments)
        except (OSError, RuntimeError, ValueError) as error:
            if shutil.disk_usage(self.folder).free < LEAST_FREE:
                raise OSError(
                    errno.ENOSPC,
                    f"No space left in {self.folder}, where networks are compiled and run: make room, "
                    "or set TMPDIR to another folder",
                ) from error
            raise

    return named


class CompiledNetwork:
    """A network that was compiled for a standalone device.

    Parameters
    ----------
    job : Job
    folder : Path
        Where it is built.
    device : str
    seeding : str
        C++ code that reads the seed of a trial from the environment.
    """

    def __init__(self, job, folder, device, seeding):
        _check(job.model, device)
        self.folder, self.model = folder, job.model
        with _active(device, folder) as active:
            active.defaultclock.dt = Quantity(job.model.dt, dim=second.dim)
            # brian2cuda's code takes it for granted that the network has the default clock
            live = rebuild(job.model, clocks={job.model.dt: active.defaultclock})
            self.spikes = {name: SpikeMonitor(live[name]) for name in job.model.spiking}
            self.states = {name: _state_monitor(live, name) for name in job.record}
            live.network.add(*self.spikes.values(), *self.states.values())
            if job.noise:
                freeze_noise(live.network, {key: input_rows(v, [0]) for key, v in job.noise.items()})
            active.apply_run_args()
            active.insert_code("main", seeding)
            for group in job.model.groups:
                for variable, expression in group.initial.items():
                    if f"{group.name}.{variable}" not in job.initial:
                        setattr(live[group.name], variable, expression)
            live.network.run(job.duration, namespace={})
            self._compile(active)
            self.inputs = {name: array.name for name, array in live.inputs.items()}
            self.noise = {key: array.name for key, array in frozen_arrays(live.network).items()}
            self.files = self._files(active, live)

    @_names_full_disk
    def _compile(self, active):
        try:
            active.build(directory=str(self.folder), compile=True, run=False, with_output=False)
        except RuntimeError as error:
            raise RuntimeError(
                f"The network could not be compiled: {error}. Brian2's preferences for the compiler are "
                "prefs.codegen.cpp; device='runtime' needs none."
            ) from None

    def _files(self, active, live):
        """Name and type of the file of every result."""
        wanted = {
            (group.name, name): live[group.name].variables[name]
            for group in self.model.groups
            for name in group.values
        }
        wanted |= {(name, end): m.variables[end] for name, m in self.spikes.items() for end in "it"}
        wanted |= {("", name): m.variables[name.partition(".")[2]] for name, m in self.states.items()}
        return {
            key: (os.path.basename(active.get_array_filename(variable)), variable.dtype)
            for key, variable in wanted.items()
        }

    def run(self, job, processes, progress):
        """Run all trials, some at a time; when interrupted, stop those that run.

        Returns
        -------
        list of Recorded
        """
        running = set()
        heading = f"{job.trials} trials in {processes} processes"
        try:
            common = self._common(job)
            with ThreadPoolExecutor(processes) as pool:
                trials = [pool.submit(self._trial, job, k, common, running) for k in range(job.trials)]
                try:
                    return [trial.result() for trial in tqdm(trials, desc=heading, disable=not progress)]
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    for process in list(running):
                        process.kill()
                    raise
        finally:
            shutil.rmtree(self.folder / "values", ignore_errors=True)

    @_names_full_disk
    def _common(self, job):
        """Arguments for the values in which this network differs from the one that was compiled."""
        folder = self.folder / "values"
        folder.mkdir()
        given = []
        for group in job.model.groups:
            for name, value in group.values.items():
                if not np.array_equal(value, self.model[group.name].values[name], equal_nan=True):
                    given.append(_argument(folder, f"{group.name}.{name}", value))
        return given

    @_names_full_disk
    def _trial(self, job, trial, common, running):
        folder = self.folder / f"trial_{trial}"
        results = folder / "results"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that failed
        results.mkdir(parents=True)
        given = [
            _argument(folder, f"{self.inputs[name]}.values", input_rows(values, [trial]))
            for name, values in job.inputs.items()
        ]
        given += [
            _argument(folder, f"{self.noise[key]}.values", input_rows(values, [trial]))
            for key, values in job.noise.items()
            if key in self.noise
        ]
        given += [_argument(folder, name, self._typed(name, v[trial])) for name, v in job.initial.items()]
        seed = {} if job.seed is None else {SEED: str(job.seed + trial)}
        command = [str(self.folder / "main"), "--results_dir", f"{results}{os.sep}", *common, *given]
        with open(folder / "output.txt", "w+") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=os.environ | seed, stdout=output, stderr=subprocess.STDOUT
            )
            running.add(process)
            status = process.wait()
            running.discard(process)
            output.seek(0)
            text = output.read()
        if status or "Error" in text:
            raise RuntimeError(f"Trial {trial} failed in the compiled network: {text.strip() or status}")
        recorded = self._read(job, results)
        shutil.rmtree(folder, ignore_errors=True)
        return recorded

    def _typed(self, name, values):
        """Values with the type that a variable has in the compiled program."""
        group, _, variable = name.partition(".")
        return np.asarray(values, dtype=self.files[group, variable][1])

    def _read(self, job, results):
        def read(key):
            name, dtype = self.files[key]
            return np.fromfile(results / name, dtype=dtype)

        return Recorded(
            values={name: read(("", name)).reshape(job.steps, -1) for name in job.record},
            spikes={
                name: (read((name, "i")), np.rint(read((name, "t")) / job.model.dt).astype(int))
                for name in job.model.spiking
            },
            final={
                f"{group.name}.{name}": read((group.name, name)).reshape(np.shape(value) or (1,))
                for group in job.model.groups
                for name, value in group.values.items()
            },
        )


def _state_monitor(live, name):
    group, _, variable = name.partition(".")
    return StateMonitor(live[group], variable, record=True, when="end", order=LAST)


def _argument(folder, name, value):
    """One ``name=file`` of the command line."""
    file = folder / f"{name}.dat"
    file.write_bytes(np.ascontiguousarray(value).tobytes())
    return f"{name}={file}"


def _check(model, device):
    late = [
        pathway.name
        for group in model.groups
        for pathway in getattr(group, "pathways", ())
        if len(pathway.under_way)
    ]
    if late:
        raise ValueError(
            f"{', '.join(late)}: spikes are under way when the model starts, and {device!r} cannot be told "
            "of them. Wrap the network before its first run, or use device='runtime'."
        )


@contextmanager
def _active(name, folder):
    """A standalone device that was made new, and Brian2's runtime again afterwards."""
    if get_device() is not runtime_device:
        raise ValueError(
            "Brian2 is set to a standalone device already, which would take this network into its own "
            "simulation: call set_device('runtime') first, and name the device here: simulate(device=...)."
        )
    step = runtime_device.defaultclock.dt
    set_device(name, build_on_run=False, directory=str(folder))
    device = get_device()
    device.reinit()
    device.activate(build_on_run=False, directory=str(folder))
    try:
        yield device
    finally:
        device.reinit()
        reset_device()
        runtime_device.defaultclock.dt = step  # Brian2 takes over that of the last device
