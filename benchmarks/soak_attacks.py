"""What the soak test does besides sending images: each attack is a list of steps, and what may come of it.

Input: a sample and a source of random numbers. Output: an `Attack`.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from client import parts, request
from PIL import Image
from soak_images import Sample

CLOSED = 0
"""In place of a status: the server closed the connection without a reply."""

MASK, ARRAY = "image/png", "application/x-npy"

Steps = list[bytes | float]


@dataclass(frozen=True)
class Attack:
    """steps: bytes to send, and seconds to wait. may: the statuses that may come, besides 503.

    wanted: the Accept of a request that is in order for all its manners; 200 must bring what any other would get.
    leaves: the client goes without waiting for a reply. pace: seconds between the pieces in which it reads the reply.
    """

    steps: Steps
    may: tuple[int, ...] = ()
    wanted: str = ""
    leaves: bool = False
    pace: float = 0.0


def make_attack(random: Random, sample: Sample) -> tuple[str, Attack]:
    """One of all, each as likely."""
    name = random.choice([*BAD_REQUESTS, *BAD_MANNERS])
    if name in BAD_REQUESTS:
        may, make = BAD_REQUESTS[name]
        return name, Attack([make(random, sample)], may)
    return name, BAD_MANNERS[name](random, sample)


def invocation(
    sample: Sample, body: bytes | None = None, accept: str = MASK, length: object = None, **more: str
) -> bytes:
    """A request for a sample; `more` are headers, with _ for - in their names."""
    fields = {"Content-Type": sample.content_type, "Accept": accept}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return request(body=sample.data if body is None else body, headers=fields, length=length)


def _prefix(random: Random, sample: Sample) -> bytes:
    return invocation(sample, sample.data[: random.randrange(len(sample.data) - 16)])


def _bit_flips(random: Random, sample: Sample) -> bytes:
    data = bytearray(sample.data)
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return invocation(sample, bytes(data))


def _bomb(random: Random, sample: Sample) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = random.choice((20_000, 60_000, 2**31 - 1))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(2**20)))
    return invocation(sample, b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b""))


def _other_format(random: Random, sample: Sample) -> bytes:
    data = {"SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "zip": b"PK\3\4" + bytes(100)}
    kind = random.choice(("SVG", "zip", "GIF", "TIFF", "BMP", "WEBP", "PPM", "EPS", "PDF"))
    if kind not in data:
        out = io.BytesIO()
        Image.new("RGB", (8, 8)).save(out, kind)
        data[kind] = out.getvalue()
    return invocation(sample, data[kind])


def _other_path(random: Random, sample: Sample) -> bytes:
    paths = ("/invocation", "/invocations/", "/../../etc/passwd", "/endpoints/../invocations", "/endpoints/%2e%2e%2f/x")
    return request(random.choice(paths), b"x")


def _chunked(sample: Sample, size_line: str) -> bytes:
    fields = {"Content-Type": sample.content_type, "Accept": MASK, "Transfer-Encoding": "chunked"}
    middle = len(sample.data) // 2
    pieces = (sample.data[:middle], sample.data[middle:])
    lines = [(size_line % len(piece)).encode() + b"\r\n" + piece + b"\r\n" for piece in pieces]
    return request(headers=fields, length="") + b"".join(lines) + b"0\r\n\r\n"


BAD_REQUESTS: dict[str, tuple[tuple[int, ...], Callable[[Random, Sample], bytes]]] = {
    "prefix of an image": ((400,), _prefix),
    "bits flipped": ((200, 400, 413), _bit_flips),
    "decompression bomb": ((400, 413), _bomb),
    "another format": ((400,), _other_format),
    "noise for an image": ((400,), lambda random, sample: invocation(sample, random.randbytes(5000))),
    "two images": ((400,), lambda random, sample: invocation(sample, sample.data * 2)),
    "empty body": ((400,), lambda random, sample: invocation(sample, b"")),
    "unknown content type": ((415,), lambda random, sample: invocation(sample, Content_Type="text/csv")),
    "unknown accept": ((406,), lambda random, sample: invocation(sample, accept="application/json")),
    "length too small": ((400,), lambda random, sample: invocation(sample, length=len(sample.data) // 2)),
    "length of a terabyte": ((413, CLOSED), lambda random, sample: invocation(sample, length=10**12)),
    "length that is none": ((400, CLOSED), lambda random, sample: invocation(sample, length="-1")),
    "chunks of no size": ((400, CLOSED), lambda random, sample: _chunked(sample, "%d?")),
    "huge header": ((400, 431, CLOSED), lambda random, sample: invocation(sample, X_Filler="x" * 2**17)),
    "header without end": (
        (400, 431, CLOSED),
        lambda random, sample: b"POST /invocations HTTP/1.1\r\nX: " + b"x" * 2**18,
    ),
    "long attributes": (
        (400,),
        lambda random, sample: invocation(sample, X_Amzn_SageMaker_Custom_Attributes="x" * 1025),
    ),
    "another path": ((400, 404), _other_path),
    "another method": ((405,), lambda random, sample: request(method="DELETE")),
    "no HTTP": ((400, CLOSED), lambda random, sample: random.randbytes(500) + b"\r\n\r\n"),
}


def _gone(
    random: Random, sample: Sample, cut: int | None = None, length: object = None, seconds: float = 0.5
) -> Attack:
    return Attack([invocation(sample, length=length)[:cut], random.uniform(0, seconds)], leaves=True)


BAD_MANNERS: dict[str, Callable[[Random, Sample], Attack]] = {
    "slow body": lambda random, sample: Attack(parts(invocation(sample), 20, random.uniform(0.5, 3)), (200,), MASK),
    "slow reader": lambda random, sample: Attack([invocation(sample, accept=ARRAY)], (200,), ARRAY, pace=0.1),
    "chunked": lambda random, sample: Attack([_chunked(sample, "%x")], (200,), MASK),
    "waits for 100": lambda random, sample: Attack([invocation(sample, Expect="100-continue")], (200,), MASK),
    "gone before the reply": lambda random, sample: _gone(random, sample, seconds=0.1),
    "gone in the header": lambda random, sample: _gone(random, sample, cut=random.randint(1, 60)),
    "gone in the body": lambda random, sample: _gone(random, sample, cut=-random.randint(1, len(sample.data))),
    "stalled, and gone": lambda random, sample: _gone(random, sample, cut=-1, seconds=5.0),
    "length too great, and gone": lambda random, sample: _gone(random, sample, length=len(sample.data) + 100),
}
