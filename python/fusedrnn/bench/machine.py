"""What must be said about where figures come from: machine, versions, affinity, commit, command line."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fusedrnn
from fusedrnn.bench import implementations

__all__ = ["affinity", "describe", "pinned", "worker_environment"]


def affinity() -> list[int] | None:
    """The CPUs this process may run on; None where the system does not say."""
    get = getattr(os, "sched_getaffinity", None)
    return None if get is None else sorted(get(0))


def pinned(threads: int) -> list[int] | None:
    """The CPUs for a run with this many threads: the last ones allowed (interrupts favour the first).

    None, for no pinning, where the system cannot or there are too few.
    """
    allowed = affinity()
    return None if allowed is None or len(allowed) < threads else allowed[-threads:]


def worker_environment(threads: int, isa: str | None) -> dict[str, str]:
    """Environment variables that libraries read once, when they are imported or start their pools."""
    count = str(threads)
    variables = {
        "FUSEDRNN_NUM_THREADS": count,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "NPROC": count,  # the size of XLA's pool
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if isa is not None:
        variables["FUSEDRNN_ISA"] = isa
    return variables


def cpu_model() -> str:
    """The processor's name; with family, model and stepping on x86, since virtual machines shorten the name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    name = fields.get("model name") or fields.get("Processor") or platform.machine()
    signature = [
        f"{key.removeprefix('cpu ')} {fields[key]}" for key in ("cpu family", "model", "stepping") if key in fields
    ]
    return f"{name} ({', '.join(signature)})" if signature else name


def caches() -> dict[str, str]:
    """Cache sizes of the first CPU by level, as Linux gives them."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def commit() -> str | None:
    """The commit of the checkout that fusedrnn is imported from, "+changes" if it has any; None outside of one."""
    here = Path(fusedrnn.__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not git("ls-files", "__init__.py"):  # a checkout around an installed package is not its own
            return None
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def describe(names: Iterable[str], command: str) -> dict[str, Any]:
    """Everything about this machine and these implementations, for the head of a report. JSON-able."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    versions: dict[str, str] = {"python": platform.python_version()}
    for name in names:
        versions |= implementations.versions(name)
    versions["fusedrnn"] = fusedrnn.__version__
    return {
        "cpu": cpu_model(),
        "caches": caches(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "allowed_cpus": affinity(),
        "load_before": None if load is None else round(load, 2),
        "isa": fusedrnn.isa(),
        "versions": versions,
        "commit": commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
    }
