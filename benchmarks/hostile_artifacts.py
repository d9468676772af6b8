"""Compares the readers of hostile artifacts with onnx and tarfile: peak memory and time, and the cost of `import onnx`.

Linux only. Run it from any folder: `python benchmarks/hostile_artifacts.py`. It writes a dated page into `results`.
"""

import ast
import datetime
import gzip
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import median

import machine
from pages import facts, table

HERE = Path(__file__).resolve().parent
MIB = 2**20
TIMEOUT = 120

PROGRAM = """
import re, sys, time
from pathlib import Path
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
path = Path(sys.argv[1])
{imports}
before, start = peak(), time.perf_counter()
try:
    {read}
    outcome = "accepted"
except Exception as error:
    outcome = type(error).__name__
print([peak() - before, time.perf_counter() - start, outcome])
"""
READERS = {
    "graph": {
        "check_graph": (
            "from sagemaker_semseg.artifact.graph import check_graph; data = path.read_bytes()",
            "check_graph(data)",
        ),
        "onnx": ("import onnx; data = path.read_bytes()", "onnx.ModelProto.FromString(data)"),
    },
    "archive": {
        "read_members": (
            "from sagemaker_semseg.artifact.members import read_members",
            'read_members(path, ("labels.json",))',
        ),
        "tarfile, stream mode": (
            "import tarfile",
            '[tarfile.data_filter(member, "/nowhere") for member in tarfile.open(path, "r|gz")]',
        ),
    },
}
IMPORT = """
import time, sagemaker_semseg.serving.worker
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before, start = resident(), time.perf_counter()
import onnx
print([time.perf_counter() - start, resident() - before])
"""


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes or of a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def graphs(size: int = 16 * MIB) -> dict[str, bytes]:
    """Files of `size` bytes that a parser makes many objects of."""
    return {
        "packed integers of a byte": field(7, field(5, field(1, bytes(size)))),
        "empty names of two bytes": field(7, field(1, b"\x0a\x00" * (size // 2))),
        "empty metadata of two bytes": b"\x72\x00" * (size // 2),
        "empty nodes of two bytes": field(7, b"\x0a\x00" * (size // 2)),
        "nodes with an empty attribute, four bytes": field(7, b"\x0a\x02\x2a\x00" * (size // 4)),
        "one tensor of weights": field(7, field(5, field(9, bytes(size)))),
    }


def header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def archives(size: int = 256 * MIB) -> dict[str, bytes]:
    """Uncompressed archives whose extension headers cost memory or time."""
    sparse = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    numbers = b"%d\n" % (MIB // 2) + b"1\n" * MIB
    return {
        "a pax header of 256 MiB": header("x", size, b"x") + b"%d a=" % size + bytes(size - 12),
        "a long name of 256 MiB": header("x", size, b"L") + bytes(size),
        "a sparse map of a million numbers": header("x", len(sparse), b"x")
        + sparse.ljust(512, b"\0")
        + header("y", len(numbers), b"0")
        + numbers.ljust(-(-len(numbers) // 512) * 512, b"\0"),
        "20 000 pax headers in a row": (header("x", 510, b"g") + b"6 a=b\n" * 85 + bytes(2)) * 20_000,
        "a pax header of 64 KiB of digits": header("x", 2**16, b"x") + b"1" * 2**16,
    }


def measure(path: Path, imports: str, read: str) -> tuple[str, str, str]:
    """Peak memory beyond the imports in MiB, seconds, and the outcome."""
    program = PROGRAM.format(imports=imports, read=read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return "", f"more than {TIMEOUT}", "stopped"
    memory, seconds, outcome = ast.literal_eval(done.stdout)
    return f"{memory / MIB:.1f}", f"{seconds:.2f}", outcome


def rows(kind: str, files: dict[str, bytes]) -> list[list[str]]:
    found = []
    for name, data in files.items():
        content = gzip.compress(data) if kind == "archive" else data
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
            file.write(content)
            file.flush()
            for reader, program in READERS[kind].items():
                row = [name, f"{len(content) / MIB:.2f}", reader, *measure(Path(file.name), *program)]
                print(*row, sep=", ", flush=True)
                found.append(row)
    return found


def main() -> None:
    head = ["file", "its MiB", "reader", "peak MiB", "seconds", "outcome"]
    imports = [
        ast.literal_eval(
            subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout
        )
        for _ in range(7)
    ]
    seconds, memory = (median(values) for values in zip(*imports, strict=True))
    today = datetime.date.today()
    page = f"# Hostile artifacts, {today}\n\n{facts(machine.describe())}\n"
    page += f"## Graphs\n\n{table(head, rows('graph', graphs()))}\n"
    page += f"`import onnx` in a serving worker: {seconds:.2f} s and {memory / MIB:.1f} MiB (medians of 7).\n\n"
    page += f"## Archives\n\n{table(head, rows('archive', archives()))}"
    (HERE / "results" / f"hostile_artifacts-{today}.md").write_text(page)


if __name__ == "__main__":
    main()
