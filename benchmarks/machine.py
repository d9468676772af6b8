"""Says what machine a benchmark ran on, for the head of its results file.

Output: a dict of what to print. Standard library only.
"""

import os
import platform
from pathlib import Path

INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")


def describe() -> dict[str, str]:
    """CPU model, its instruction sets for arithmetic, cores, memory, system, Python."""
    cpu = _fields(Path("/proc/cpuinfo"))
    flags = cpu.get("flags", "").split()
    facts = {
        "CPU": cpu.get("model name") or platform.processor() or platform.machine(),
        "family, model": f"{cpu['cpu family']}, {cpu['model']}" if "cpu family" in cpu else "",
        "instruction sets": " ".join(name for name in INSTRUCTION_SETS if name in flags),
        "cores": str(len(usable_cores())),
        "memory": f"{_fields(Path('/proc/meminfo')).get('MemTotal', 'unknown')}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    return {name: value for name, value in facts.items() if value}


def usable_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_memory_gb() -> float | None:
    """Memory that new processes could take now, GB; None where the system does not say."""
    available = _fields(Path("/proc/meminfo")).get("MemAvailable")
    return int(available.split()[0]) * 1024 / 1e9 if available else None


def _fields(path: Path) -> dict[str, str]:
    """`name : value` lines; the first of a name counts."""
    fields: dict[str, str] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    return fields
