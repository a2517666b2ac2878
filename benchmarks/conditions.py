"""The conditions that figures were measured under: without them a number says nothing."""

from __future__ import annotations

import gc
import os
import platform
import sysconfig
from importlib.metadata import version
from pathlib import Path

from ringfence import fold


def conditions(scale: str, seed: int) -> dict[str, str]:
    """Describe this machine, this interpreter, and what is measured."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "load average": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {_build()}",
        "engine": f"ringfence {version('ringfence')}, core {_core_form()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("msgspec", "orjson")),
        "garbage collection": _garbage_collection(),
        "inputs": f"made up from seed {seed} at {scale} scale",
    }


def _processor() -> str:
    """The model as Linux knows it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _build() -> str:
    """Whether the interpreter was optimised by profile makes a difference of a fifth or more."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    profiled = "--enable-optimizations" in arguments
    return f"{platform.python_compiler()}, {'with' if profiled else 'without'} profile-guided optimisation"


def _core_form() -> str:
    """Whether the core that is measured was compiled."""
    return "interpreted" if str(fold.__file__).endswith(".py") else "compiled"


def _garbage_collection() -> str:
    thresholds = ", ".join(map(str, gc.get_threshold()))
    return f"what exists before measuring is frozen, thresholds then as in `ringfence run` (now {thresholds})"


def loaded() -> str:
    """Return the load average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"
