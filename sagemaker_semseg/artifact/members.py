"""Reads and writes the files of an artifact, as ``model.tar.gz`` or as a folder that may be hostile.

The reader walks the archive block by block: a member has to be a plain file with a known name, and its claimed size is
checked before a byte of it is unpacked. Python's ``tarfile`` can't be limited like that: it reads extension headers of
any size before a filter sees the member (``benchmarks/hostile_artifacts.py``).
"""

from __future__ import annotations

import gzip
import io
import itertools
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn

from sagemaker_semseg.errors import ArtifactError, Fault, SageMakerArtifactError

KIB, MIB, GIB = 2**10, 2**20, 2**30

# The largest size of each member. The largest network here (ResNet-152, PSP) has 0.4 GiB of weights; a confusion matrix
# of 254 classes and a history of 1000 epochs stay below 4 MiB.
MAX_BYTES: dict[str, int] = {
    "hyperparams.json": MIB,
    "labels.json": MIB,
    "metrics.json": 8 * MIB,
    "model.safetensors": GIB,
    "model.int8.onnx": GIB,
    "model.onnx": GIB,
}
REQUIRED = ("hyperparams.json", "labels.json", "metrics.json", "model.safetensors")
_REMEDY = "give an artifact that a training of this package has written"
_GIVE = "give a model.tar.gz, a folder of its files, or the output folder of a training, which holds one of these"
_REMEDIES = {"model.onnx": "write it with: sagemaker-semseg export MODEL -o NEW"}

# The members of an artifact of AWS's built-in algorithm, whose weights ``weights.sagemaker_artifact`` reads.
ORIGINAL_MAX_BYTES: dict[str, int] = {"hyperparams.json": MIB, "model_best.params": GIB, "model_algo-1": GIB}
MAX_TOTAL_BYTES = 2 * GIB + 64 * MIB
MAX_MEMBERS = 100
MAX_EXTENSION_BYTES = 64 * KIB
MAX_PADDING_BYTES = MIB

_ORIGINAL = re.compile(r"model_algo-[0-9]+(\.params)?|model_best\.params")
_RUNS_CODE = frozenset(
    {".pkl", ".pickle", ".joblib", ".dill", ".keras", ".h5", ".hdf5", ".pb", ".pt", ".pth", ".bin", ".ckpt"}
    | {".npy", ".npz", ".py", ".pyc", ".so", ".sh", ".whl", ".zip", ".jar"}
)
_NOT_FILES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}
_NOT_FILE_MODES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
_ZEROS = bytes(tarfile.BLOCKSIZE)
_CHUNK = MIB


# ---- writing


def write_members(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Writes ``members`` as tar.gz; the same members give the same bytes (no times, owners or file names in it).

    It is gzip, as on SageMaker, but stored without compression: that would save 8 % of the size, and take four times as
    long to write and to read, which delays an endpoint's start.
    """
    gzipped = zlib.compressobj(0, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in _tar(members):
        for start in range(0, len(piece), _CHUNK):
            file.write(gzipped.compress(memoryview(piece)[start : start + _CHUNK]))
    file.write(gzipped.flush())


def _tar(members: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, data in members.items():
        info = tarfile.TarInfo(name)  # its defaults: a regular file, mode 644, time 0, owner 0 without a name
        info.size = len(data)
        yield info.tobuf(tarfile.USTAR_FORMAT)
        yield data
        yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield 2 * _ZEROS


# ---- reading


def read_members(
    path: Path,
    wanted: Collection[str],
    max_bytes: Mapping[str, int] = MAX_BYTES,
    required: Collection[str] = REQUIRED,
    optional: Collection[str] = (),
    left_out: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Returns the bytes of the ``wanted`` and ``optional`` members. All members and an archive's checksum are checked.

    Args:
        path: The archive or folder.
        wanted: Names of members.
        max_bytes: The members it may have, and their largest sizes.
        required: The members it must have beside ``wanted``.
        optional: Members that are read where they are there.
        left_out: Members that aren't kept in memory where another comes before them, whose name is the value.

    Raises:
        ArtifactError: With all faults; reading stops at one that makes it unsafe or useless to continue.
        SageMakerArtifactError: It is an artifact of AWS's built-in algorithm.
    """
    reading = _Reading(path, {*wanted, *optional}, max_bytes, left_out or {})
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            _read_folder(path, reading)
        elif stat.S_ISREG(mode):
            with open(path, "rb") as file:
                _read_archive(file, reading)
        else:
            reading.reject(str(path), "is neither a file nor a folder")
    except OSError as error:
        reading.reject(str(path), f"can't be read: {error.strerror or error}", "check the path and its permissions")
    for name in max_bytes:
        if name not in reading.seen and (name in required or name in wanted):
            reading.fault(name, "is missing", _REMEDIES.get(name, _REMEDY))
    reading.raise_faults()
    return reading.members


class _Reading:
    """The members read so far; checks counts, names and sizes."""

    def __init__(self, path: Path, wanted: Collection[str], max_bytes: Mapping[str, int], left_out: Mapping[str, str]):
        self.path, self.wanted, self.max_bytes, self.left_out = path, wanted, max_bytes, left_out
        self.members: dict[str, bytes] = {}
        self.seen: set[str] = set()
        self.faults: list[Fault] = []
        self.count = 0
        self.bytes_left = MAX_TOTAL_BYTES

    def keeps(self, name: str) -> bool:
        """Returns whether a member's bytes are wanted."""
        return name in self.wanted and self.left_out.get(name) not in self.members

    def fault(self, where: str, what: str, remedy: str = "") -> None:
        self.faults.append(Fault(where, what, remedy))

    def reject(self, where: str, what: str, remedy: str = "") -> NoReturn:
        self.fault(where, what, remedy)
        raise ArtifactError(f"{self.path} can't be used as a model:", self.faults)

    def raise_faults(self) -> None:
        if self.faults:
            raise ArtifactError(f"{self.path} can't be used as a model:", self.faults)

    def begin_member(self) -> None:
        """Counts a member or an extension header."""
        self.count += 1
        if self.count > MAX_MEMBERS:
            most = len(self.max_bytes)
            self.reject(str(self.path), f"has more than {MAX_MEMBERS} members, an artifact has {most} at most")

    def check_name(self, raw_name: str, kind: str = "") -> str:
        """Returns a member's plain name if it may be read; else an empty string, and adds a fault.

        kind: what the member is if it isn't a plain file.
        """
        path = raw_name.replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        name = "/".join(parts)
        shown = name if re.fullmatch(r"[ -~]{1,100}", name) else ascii(raw_name)
        if _ORIGINAL.fullmatch(name) and name not in self.max_bytes:
            what = "belongs to an original artifact of AWS's built-in algorithm (weights in MXNet's format)"
            remedy = "make one of this package's format of it: sagemaker-semseg import MODEL -o NEW"
            # other faults would only distract from this one
            raise SageMakerArtifactError(f"{self.path} can't be used as a model:", [Fault(shown, what, remedy)])
        if kind == "a folder" and not parts:
            return ""  # the entry "./" that `tar -C folder .` writes
        if path.startswith("/") or re.match(r"[A-Za-z]:", path):
            self.fault(ascii(raw_name), "is an absolute path", "don't trust this file")
        elif ".." in parts:
            self.fault(ascii(raw_name), "leads outside of the artifact", "don't trust this file")
        elif kind:
            self.fault(shown, f"is {kind}, only plain files are read")
            self.seen.add(name)
        elif name in self.seen:
            self.fault(shown, "is there twice")
        elif name == "model.tar.gz":
            self.fault(shown, "is an archive of its own", "give the path of model.tar.gz, not of its folder")
        elif os.path.splitext(name)[1].lower() in _RUNS_CODE:
            self.fault(shown, "is of a kind that can hold code, an artifact holds none", "don't trust this file")
        elif name not in self.max_bytes:
            self.fault(shown, f"is not part of an artifact, which holds {', '.join(self.max_bytes)}")
        else:
            self.seen.add(name)
            return name
        return ""

    def check_size(self, name: str, size: int) -> None:
        """Rejects a member that is larger than ``name`` may be, or too large in total."""
        limit = self.max_bytes.get(name, MAX_TOTAL_BYTES)
        if size < 0 or size > limit:
            self.reject(name or str(self.path), f"claims {size} bytes, {limit} are the limit", "don't trust this file")
        self.bytes_left -= size
        if self.bytes_left < 0:
            self.reject(str(self.path), f"unpacks to more than {MAX_TOTAL_BYTES} bytes", "don't trust this file")


def _read_folder(path: Path, reading: _Reading) -> None:
    # doesn't wait for a pipe's writer, and doesn't follow a link that has replaced the file
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in itertools.islice(entries, MAX_MEMBERS + 1))
    if not any(name in reading.max_bytes or name == "model.tar.gz" or _ORIGINAL.fullmatch(name) for name in names):
        listed = ", ".join(map(ascii, names[:8])) or "nothing"
        reading.reject(str(path), f"holds no model; there is {listed}", _GIVE)
    for name in names:
        reading.begin_member()
        mode = os.lstat(path / name).st_mode
        if not reading.check_name(
            name, "" if stat.S_ISREG(mode) else _NOT_FILE_MODES.get(stat.S_IFMT(mode), "no file")
        ):
            continue
        with open(os.open(path / name, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                reading.reject(name, "changed while it was read")
            reading.check_size(name, status.st_size)
            if reading.keeps(name):
                reading.members[name] = file.read(status.st_size)


def _read_archive(file: BinaryIO, reading: _Reading) -> None:
    where = str(reading.path)
    again = "copy or download the file again"
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            _walk(stream, reading)
    except EOFError:
        reading.reject(where, "ends too early", again)
    except gzip.BadGzipFile as error:
        reading.reject(where, f"is not a gzip file, or a damaged one: {error}", again)
    except (zlib.error, tarfile.TarError, ValueError) as error:
        reading.reject(where, f"is damaged: {error}", again)


def _walk(stream: gzip.GzipFile, reading: _Reading) -> None:
    """Reads each header block, and the data of the members that may be read."""
    while (block := _exactly(stream, tarfile.BLOCKSIZE)) != _ZEROS:
        reading.begin_member()
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")  # checks the header's checksum
        padding = -info.size % tarfile.BLOCKSIZE
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            reading.check_size("", info.size)
            _check_extension(stream, info, reading)
            _exactly(stream, padding)
        elif info.type in _NOT_FILES:
            reading.check_name(info.name, _NOT_FILES[info.type])  # no data follows, whatever their size says
        elif info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            sparse = info.type == tarfile.GNUTYPE_SPARSE
            kind = "a sparse file" if sparse else f"an extension of tar ({info.type!a})"
            reading.reject(ascii(info.name), f"is {kind}, only plain files with short names are read")
        else:
            name = reading.check_name(info.name)
            reading.check_size(name, info.size)
            wanted = reading.keeps(name)
            data = _copy(stream, info.size, io.BytesIO() if wanted else None)
            if wanted:
                reading.members[name] = data
            _exactly(stream, padding)
    _check_end(stream)


def _check_extension(stream: gzip.GzipFile, info: tarfile.TarInfo, reading: _Reading) -> None:
    """Rejects a pax extension that changes a member; times, owners and comments are ignored."""
    if info.size > MAX_EXTENSION_BYTES:
        reading.reject(ascii(info.name), f"is an extension of {info.size} bytes, {MAX_EXTENSION_BYTES} are the limit")
    rest = _exactly(stream, info.size)
    while rest:
        length = re.match(rb"([0-9]{1,6}) ", rest)
        record = rest[: int(length[1])] if length else b""
        if not length or len(record) < len(length[0]) + 2 or not record.endswith(b"\n") or b"=" not in record:
            raise ValueError("an extension header can't be read")
        key = record[length.end() :].split(b"=", 1)[0]
        if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse"):
            kind = "makes a file sparse" if key.startswith(b"GNU.sparse") else f"changes a member's {key.decode()}"
            reading.reject(ascii(info.name), f"is an extension of tar that {kind}, only plain files are read")
        rest = rest[len(record) :]


def _check_end(stream: gzip.GzipFile) -> None:
    """Reads the second block of zeros and the padding, at the end of which gzip checks its checksum."""
    if _exactly(stream, tarfile.BLOCKSIZE) != _ZEROS:
        raise ValueError("the end of the archive is not where it should be")
    padding = 0
    while chunk := stream.read(64 * KIB):
        padding += len(chunk)
        if any(chunk) or padding > MAX_PADDING_BYTES:
            raise ValueError("something follows the end of the archive")


def _copy(stream: gzip.GzipFile, size: int, into: io.BytesIO | None) -> bytes:
    """Reads ``size`` bytes in pieces: memory grows with the real size, not with the claimed one."""
    for start in range(0, size, _CHUNK):
        piece = _exactly(stream, min(_CHUNK, size - start))
        if into is not None:
            into.write(piece)
    return into.getvalue() if into is not None else b""


def _exactly(stream: gzip.GzipFile, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) < size:
        raise EOFError
    return data
