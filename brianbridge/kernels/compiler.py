"""Compile C sources into shared libraries, kept by the hash of the source."""

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["compiler", "library", "obstacle"]

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


#: What every kernel needs of a compiler, a C library and OpenMP.
PROBE = """
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>
int probe(void) {
  int sum = 0;
#pragma omp parallel for reduction(+: sum)
  for (int i = 0; i < 4; ++i) sum += (int)sqrt((double)i*i);
  return sum;
}
"""


@cache
def compiler():
    """Command of a C compiler, or None: that of the environment variable CC, cc, gcc or clang.

    Returns
    -------
    tuple of str or None
        CC may say more than a name: ``CC="ccache gcc"``.
    """
    for command in (_of_environment(), ("cc",), ("gcc",), ("clang",)):
        found = command and shutil.which(command[0])
        if found:
            return found, *command[1:]
    return None


def _of_environment():
    try:
        return tuple(shlex.split(os.environ.get("CC", "")))
    except ValueError:  # a quotation mark without its partner
        return ()


@cache
def obstacle():
    """Why there can be no kernels here, ``''`` if there can: found out once, with a small program."""
    if not compiler():
        return "no C compiler was found (name one in the environment variable CC)"
    try:
        for single in (True, False):
            library(PROBE, single).probe()
    except (OSError, RuntimeError) as failure:
        said = str(failure).strip().splitlines() or [type(failure).__name__]
        line = next((line for line in said if "error" in line), said[-1])
        return f"a small C program cannot be compiled and loaded with {shlex.join(compiler())} ({line[:200]})"
    return ""


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
    key = hashlib.sha256("\n".join((text, *compiler(), *flags, _machine())).encode()).hexdigest()[:32]
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
        _run(*compiler(), *flags, "-c", str(source), "-o", str(part))
        # apart from -ffast-math, which would make the whole process round small numbers to zero
        _run(*compiler(), "-shared", "-fopenmp", str(part), "-o", str(made), "-lm")
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
            f"The C compiler {shlex.join(compiler())} failed on a generated kernel. "
            f"Surrogate(backend='eager') does without it. It said:\n{done.stderr[:2000]}"
        )


def _folder():
    """Where libraries are kept: the user's cache, else a folder of the user's own among temporary files."""
    base = os.environ.get("BRIANBRIDGE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "brianbridge" / "kernels"
    if not _is_writable(folder):
        folder = _temporary_folder() / "kernels"
        folder.mkdir(exist_ok=True)
    return folder


def _is_writable(folder):
    """Whether files can be made in a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _temporary_folder():
    """The same one for all processes of a user, if no other user can put libraries there."""
    folder = Path(tempfile.gettempdir()) / f"brianbridge-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or writable:
            return _private_folder()
    return folder


@cache
def _private_folder():
    """A folder of this process."""
    folder = tempfile.mkdtemp(prefix="brianbridge-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


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
    command = [*compiler(), "-march=native", "-E", "-v", "-x", "c", os.devnull]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    return "".join(line for line in said.splitlines() if "cc1" in line)
