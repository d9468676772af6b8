"""AWS's notebook and the tests of its namespace, without boto3, AWS's SDK, credentials and a network.

unshare -rn .envs/bare/bin/python tests/peers/bare.py [PYTEST'S ARGUMENTS]          (``make test-bare``)
"""

import fcntl
import importlib.util
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "aws_notebook.ipynb"
ABSENT = ("sagemaker", "boto3", "botocore", "moto")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def start_loopback() -> None:
    """In a network namespace of one's own even the loopback interface is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def check_alone() -> None:
    found = [name for name in ABSENT if importlib.util.find_spec(name)]
    assert not found, f"installed: {found}"
    interfaces = [name for _, name in socket.if_nameindex()]
    assert interfaces == ["lo"], f"there is a network: {interfaces}; call this by unshare -rn"


def main(arguments: list[str]) -> int:
    check_alone()
    start_loopback()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        variables = {"HOME": place, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "MPLBACKEND": "agg"}
        shutil.copy(NOTEBOOK, folder)
        run = [Path(sys.executable).with_name("jupyter-execute"), "--timeout=1200", NOTEBOOK.name]
        subprocess.run(run, cwd=folder, env=variables, check=True)
        made = list(folder.glob(".local/state/sagemaker-semseg/buckets/sagemaker-local/*/output/*/output/model.tar.gz"))
        assert len(made) == 1, made
        print(f"{NOTEBOOK.name}: every cell, without {', '.join(ABSENT)}, credentials and network", flush=True)
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sagemaker", *arguments]
        return subprocess.run(tests, cwd=ROOT, env=variables | {"HOME": os.path.join(place, "home")}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
