"""Compile C sources into shared libraries, kept by the hash of the source."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["compiler", "library"]

OPTIMISATION = "-O3"  # tests of many small models set another one
KEPT = 500  # libraries; the oldest ones go
DIGEST = hashlib.sha256().digest_size
FLAGS = ("-std=gnu11", "-march=native", "-fopenmp", "-fPIC", "-fno-math-errno", "-w")
if platform.machine() == "x86_64":
    FLAGS += ("-mprefer-vector-width=512",)
#: Single precision may reorder sums and take vectorised functions; infinity and NaN keep their meaning. glibc
#: offers these functions only where it sees the macro, which the second option takes back.
FAST = ("-ffast-math", "-fno-finite-math-only", "-D__FAST_MATH__")
#: Double precision follows the eager back end operation by operation.
STRICT = ("-ffp-contract=off", "-fno-trapping-math")


@cache
def compiler():
    """Path of a C compiler, or None: that named by the environment variable CC, cc, gcc or clang."""
    for name in (os.environ.get("CC", "").split() or [""])[:1] + ["cc", "gcc", "clang"]:
        found = name and shutil.which(name)
        if found:
            return found
    return None


def library(text, single):
    """The shared library of a C source, compiled at its first use.

    Parameters
    ----------
    text : str
    single : bool
        Single precision.

    Returns
    -------
    ctypes.CDLL

    Raises
    ------
    RuntimeError
        If the compiler fails.
    """
    flags = (OPTIMISATION, *FLAGS, *(FAST if single else STRICT))
    key = hashlib.sha256("\n".join((text, compiler(), *flags, _machine())).encode()).hexdigest()[:32]
    path = _folder() / f"{key}.so"
    if _is_intact(path):
        try:
            os.utime(path)
            return ctypes.CDLL(str(path))
        except OSError:  # of another machine, or just removed by another process: make it anew
            pass
    _compile(text, flags, path)
    _forget_oldest(path.parent)
    return ctypes.CDLL(str(path))


def _compile(text, flags, path):
    """Write the library under another name first: another process may be doing the same."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, made = Path(folder) / "kernel.c", Path(folder) / "kernel.so"
        source.write_text(text)
        part = Path(folder) / "kernel.o"
        _run(compiler(), *flags, "-c", str(source), "-o", str(part))
        # apart from -ffast-math, which would make the whole process round small numbers to zero
        _run(compiler(), "-shared", "-fopenmp", str(part), "-o", str(made), "-lm")
        with made.open("ab") as file:  # after the end of the library proper, where nothing reads it
            file.write(_digest(made.read_bytes()))
        os.replace(made, path)


def _is_intact(path):
    """Whether a library is there and whole; to load a truncated one would end this process."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content[-DIGEST:] == _digest(content[:-DIGEST])


def _digest(content):
    return hashlib.sha256(content).digest()


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"The C compiler {compiler()} failed on a generated kernel. Surrogate(backend='eager') does "
            f"without it. It said:\n{done.stderr[:2000]}"
        )


def _folder():
    base = os.environ.get("BRIANBRIDGE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "brianbridge" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"brianbridge-{os.getuid()}" / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _forget_oldest(folder):
    for path in sorted(folder.glob("*.so"), key=_last_used, reverse=True)[KEPT:]:
        path.unlink(missing_ok=True)


def _last_used(path):
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process has just forgotten it
        return 0.0


@cache
def _machine():
    """What ``-march=native`` stands for here: a home directory may be shared between machines."""
    command = [compiler(), "-march=native", "-E", "-v", "-x", "c", os.devnull]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    return "".join(line for line in said.splitlines() if "cc1" in line)
