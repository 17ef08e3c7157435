"""Trials on a graphics card, with the CUDA code that brian2cuda makes of the network."""

import importlib.util
import shutil
import subprocess
import sysconfig
from contextlib import contextmanager
from pathlib import Path

from brian2 import prefs

from brianbridge.simulation.standalone import SEED, CompiledNetwork, DeviceMissing, keep_builds, kept_builds

__all__ = ["compile_network", "run"]

CUDA_SEED = (
    f'if (const char* given = std::getenv("{SEED}")) '
    "random_number_buffer.set_seed(std::strtoull(given, nullptr, 10));"
)
NEWEST_COMPILED_FOR = 9.0  # where no card says what it is


def run(job, *, progress=True):
    """Compile a network with nvcc, and run trials of it on the card, one after the other.

    Parameters
    ----------
    job : Job
    progress : bool

    Returns
    -------
    list of Recorded

    Raises
    ------
    DeviceMissing
        If there is no card, no nvcc or no brian2cuda; nothing is compiled then.
    """
    check_compiler()
    _check_card()
    with kept_builds() or keep_builds() as builds:
        network = builds.network(job, "cuda_standalone", lambda folder: compile_network(job, folder))
        return network.run(job, 1, progress)


def compile_network(job, folder):
    """Generate, compile and link the CUDA program of a network; this needs nvcc, but no card.

    Parameters
    ----------
    job : Job
    folder : Path
        Where it is built; the program is called ``main``.

    Returns
    -------
    CompiledNetwork
    """
    check_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    with _settings(folder):
        return CompiledNetwork(job, folder, "cuda_standalone", CUDA_SEED)


def check_compiler():
    """Raise `DeviceMissing` if networks cannot be compiled for a card here."""
    if not importlib.util.find_spec("brian2cuda"):
        raise DeviceMissing(
            "device='cuda_standalone' needs brian2cuda: pip install -e '.[cuda]' in the folder of "
            "brianbridge. Without a graphics card of NVIDIA use device='cpp_standalone'."
        )
    if not shutil.which("nvcc"):
        raise DeviceMissing(
            "device='cuda_standalone' compiles with nvcc, which cannot be found: install the CUDA toolkit "
            "and put its folder bin into PATH, or use device='cpp_standalone'."
        )
    if _curand() is None:
        raise DeviceMissing(
            "device='cuda_standalone' needs the library cuRAND, which is neither beside nvcc nor in Python's "
            "packages: pip install nvidia-curand."
        )


def _check_card():
    found = shutil.which("nvidia-smi") and subprocess.run(
        ["nvidia-smi", "--list-gpus"], capture_output=True, text=True
    )
    if not found or found.returncode or "GPU" not in found.stdout:
        raise DeviceMissing(
            "device='cuda_standalone' runs on a graphics card of NVIDIA, and nvidia-smi lists none here. Use "
            "device='cpp_standalone' or 'surrogate' on this machine."
        )


def _curand():
    """Folders of cuRAND's headers and library: of the toolkit, or of the package nvidia-curand."""
    toolkit = Path(shutil.which("nvcc")).resolve().parent.parent
    packages = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    spec = importlib.util.find_spec("nvidia")
    packages |= {Path(place).parent for place in (spec.submodule_search_locations if spec else ())}
    roots = [toolkit] + [root for package in packages for root in sorted(package.glob("nvidia/cu*"))]
    for root in roots:
        for library in (root / "lib64", root / "lib"):
            found = sorted(library.glob("libcurand.so*"))
            if found and (root / "include" / "curand.h").is_file():
                return root / "include", found[0]
    return None


@contextmanager
def _settings(folder):
    """Brian2's preferences for compiling with and without a card, as they were afterwards."""
    import brian2cuda  # noqa: F401  (makes the device known)

    include, library = _curand()
    (folder / "libcurand.so").unlink(missing_ok=True)
    (folder / "libcurand.so").symlink_to(library)  # packages lack the name by which the linker looks for it
    cuda, cpp = prefs.devices.cuda_standalone.cuda_backend, prefs.codegen.cpp
    card = shutil.which("nvidia-smi") is not None
    changed = {
        "devices.cuda_standalone.cuda_backend.extra_compile_args_nvcc": [
            *(arg for arg in cuda.extra_compile_args_nvcc if not arg.startswith("-std=")),
            "-std=c++17",
            f"-I{include}",
        ],
        "codegen.cpp.library_dirs": [*cpp.library_dirs, str(folder)],
        "codegen.cpp.runtime_library_dirs": [*cpp.runtime_library_dirs, str(library.parent)],
        "codegen.cpp.extra_compile_args_gcc": [
            "-std=c++17" if arg.startswith("-std=") else arg for arg in cpp.extra_compile_args_gcc
        ],
    }
    if not card:
        changed |= {
            "devices.cuda_standalone.cuda_backend.detect_gpus": False,
            "devices.cuda_standalone.cuda_backend.gpu_id": 0,
            "devices.cuda_standalone.cuda_backend.compute_capability": NEWEST_COMPILED_FOR,
        }
    before = {name: prefs[name] for name in changed}
    try:
        for name, value in changed.items():
            prefs[name] = value
        yield
    finally:
        for name, value in before.items():
            prefs[name] = value
