"""What the endpoint costs besides an answer's time: until it is healthy, memory, and the way of large replies.

Input: a folder with a model (`<algorithm>.tar.gz`). Output: sections of a markdown page.
"""

import argparse
import http.client
import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from contest import say
from endpoint import HOST, Endpoint, EndpointFailed
from pages import spread, table
from PIL import Image
from pipeline_images import texture

HEIGHT, WIDTH = 600, 800
REQUESTS = 20
LARGE_REPLIES = 3
ACCEPTS = ("application/x-recordio-protobuf", "application/x-recordio-protobuf; dtype=float16", "application/x-npy")


@dataclass(frozen=True)
class Reply:
    """Bytes, and seconds from the end of the request to the reply's first and last byte."""

    size: int
    waited: float
    taken: float


def costs(folder: Path, args: argparse.Namespace) -> list[str]:
    archive = folder / f"{args.algorithms[0]}.tar.gz"
    unpacked = folder / "model"
    with tarfile.open(archive) as members:  # our own, written a moment ago
        members.extractall(unpacked, filter="data")
    jpeg = (folder / "image.jpg").read_bytes()
    network = f"{args.algorithms[0]}, ResNet-{args.depth}"
    say(f"starting the server {2 * args.starts} times")
    rows = [_start(name, model, jpeg, args.starts) for name, model in (("model.tar.gz", archive), ("folder", unpacked))]
    head = ["model", "s to the first healthy /ping: min, median, max", "peak RSS, MB"]
    head += ["MB then: RSS, PSS"]
    head += [f"MB after {REQUESTS} masks: RSS, PSS", "of that the server: PSS"]
    say("large replies")
    large = _large_replies(archive, args)
    return [
        f"## Start and memory ({network}, {args.side} x {args.side})\n",
        "From the start of the process, with default flags, the files in the page cache. Sums over the server and its\n"
        "worker; RSS counts what they share twice, PSS does not. The peak is that of loading.\n",
        table(head, rows),
        f"## Probabilities of {WIDTH} x {HEIGHT} pixels, {args.classes} classes\n",
        f"Means of {LARGE_REPLIES} requests. Encoding and inference are the worker's own (`/metrics`), transfer\n"
        "is the time from the reply's first byte to its last at the client. The rest is all but inference: decoding,\n"
        "encoding, and the way from the worker to the client.\n",
        table(["Accept", "MB", "encoding, ms", "inference, ms", "transfer, ms", "whole, ms", "rest, ms"], large),
    ]


def _start(name: str, model: Path, jpeg: bytes, starts: int) -> list[str]:
    healthy, before, after = [], [], []
    for _ in range(starts):
        with Endpoint(model) as endpoint:
            healthy.append(endpoint.wait_until_healthy())
            before.append((endpoint.peak_rss_mb(), endpoint.rss_mb(), endpoint.pss_mb()))
    with Endpoint(model) as endpoint:
        endpoint.wait_until_healthy()
        _ask(endpoint.port, jpeg, "image/png", REQUESTS)
        after = [endpoint.rss_mb(), endpoint.pss_mb(), endpoint.server_pss_mb()]
    peak, rss, pss = (median(figures) for figures in zip(*before, strict=True))
    seconds = ", ".join(f"{value:.2f}" for value in spread(healthy))
    return [name, seconds, f"{peak:.0f}", f"{rss:.0f}, {pss:.0f}", f"{after[0]:.0f}, {after[1]:.0f}", f"{after[2]:.0f}"]


def _large_replies(model: Path, args: argparse.Namespace) -> list[list[str]]:
    out = io.BytesIO()
    image = Image.fromarray(texture(np.random.RandomState(0))).resize((WIDTH, HEIGHT))
    image.save(out, "JPEG", quality=90)
    rows = []
    with Endpoint(model) as endpoint:
        endpoint.wait_until_healthy()
        for accept in ACCEPTS:
            _ask(endpoint.port, out.getvalue(), accept, 1)
            before = _seconds(endpoint)
            replies = _ask(endpoint.port, out.getvalue(), accept, LARGE_REPLIES)
            stages = [1000 * (now - then) / LARGE_REPLIES for now, then in zip(_seconds(endpoint), before, strict=True)]
            transfer = 1000 * mean(reply.taken - reply.waited for reply in replies)
            whole = 1000 * mean(reply.taken for reply in replies)
            figures = [*stages, transfer, whole, whole - stages[1]]
            rows.append([accept, f"{replies[0].size / 1e6:.1f}", *(f"{figure:.1f}" for figure in figures)])
    return rows


def _seconds(endpoint: Endpoint) -> list[float]:
    """Of encoding and inference so far."""
    return [endpoint.metric("semseg_seconds_sum", f'stage="{stage}"') for stage in ("encode", "inference")]


def _ask(port: int, jpeg: bytes, accept: str, times: int) -> list[Reply]:
    """One request after the other, on one connection."""
    connection, replies = http.client.HTTPConnection(HOST, port, timeout=600), []
    for _ in range(times):
        connection.request("POST", "/invocations", jpeg, {"Content-Type": "image/jpeg", "Accept": accept})
        begun = time.perf_counter()
        answer = connection.getresponse()
        waited = time.perf_counter() - begun
        body = answer.read()
        if answer.status != 200:
            raise EndpointFailed(f"{answer.status}: {body[:200]!r}")
        replies.append(Reply(len(body), waited, time.perf_counter() - begun))
    connection.close()
    return replies
