"""Turns the contests of `serving_latency.py` into a markdown page.

Input: one `Contest` per algorithm and number of cores, sections that are text already, and the GFLOP of each network.
Output: text.
"""

from statistics import median

from contest import Contest, versions
from pages import facts, spread, table

ENDPOINT, BASE, FULL, PEAK, INT8 = "endpoint", "onnxruntime", "onnxruntime-full", "sgemm", "-int8"

METHOD = """\
The endpoint is `sagemaker-semseg serve` with one worker: a step is an HTTP request with a JPEG, until the last byte of
the reply, a mask as PNG. All others are given the pixels in memory, normalized where the network does not do it itself,
and compute logits; nothing is decoded, no label is chosen, nothing is encoded. onnxruntime and openvino run the
endpoint's own graph up to the logits of an eighth of the size, as the endpoint does; onnxruntime-full, gluoncv, torch
and keras give them at the image's size. None has an auxiliary head. Each peer takes part in the form that was fastest
in a trial before, on the same cores. Every contestant is a process of its own; all of a table are alive together on the
same cores, but only one computes: in each round every one has its turn, the order rotates, and a process that waits is
stopped (the endpoint's are idle). So a ratio compares two of them seconds apart, and a slow phase of the machine hits
all. The endpoint's CPU seconds are those of the client, the server and the worker. The names with int8 run the model's
int8 graph; the endpoint runs it with OpenVINO where that is installed, and with ONNX Runtime elsewhere. sgemm
multiplies float32 matrices in numpy's BLAS; the share of its speed is that of the arithmetic of all convolutions to CPU
seconds, of both in the same round.
"""


def page(
    title: str,
    note: str,
    settings: dict[str, str],
    contests: list[Contest],
    sections: list[str],
    work: dict[str, float],
) -> str:
    parts = [f"# {title}\n", METHOD, *([f"{note}\n"] if note else [])]
    parts += ["## The endpoint's overhead, and what the peers take\n", _summary(contests)]
    parts += [*sections, "## Machine and settings\n", facts(settings)]
    parts += ["## Versions\n", table(["contestant", "versions"], versions(contests).items())]
    for contest in contests:
        parts += _section(contest, work[contest.name])
    return "\n".join(parts)


def _summary(contests: list[Contest]) -> str:
    """One row per contest and precision: the endpoint's overhead, and each peer's seconds over the endpoint's."""
    known = (ENDPOINT, BASE, BASE + INT8, FULL, PEAK)
    peers = [name for name in contests[0].contestants if name not in known] if contests else []
    head = ["network", "cores", "precision", "endpoint, s", "over onnxruntime", "over it, CPU", "over onnxruntime-full"]
    rows = []
    for contest in contests:
        for suffix in ("", INT8):
            endpoint, base = ENDPOINT + suffix, BASE + suffix
            if endpoint not in contest.contestants:
                continue
            row = [contest.name, len(contest.cores), suffix[1:] or "float32"]
            row += [f"{contest.median(endpoint):.3f}" if endpoint in contest.done() else "-"]
            row += [_overhead(contest, endpoint, base, "wall"), _overhead(contest, endpoint, base, "cpu")]
            row += ["-" if suffix else _overhead(contest, endpoint, FULL, "wall")]
            rows.append([*row, *(_times(contest.ratios(peer, endpoint)) for peer in peers)])
    return table([*head, *(f"{peer}'s time over the endpoint's" for peer in peers)], rows)


def _overhead(contest: Contest, endpoint: str, base: str, what: str) -> str:
    ratios = contest.ratios(endpoint, base, what)
    return f"{100 * (median(ratios) - 1):+.1f} %" if ratios else "-"


def _share(contest: Contest, name: str, work: float) -> str:
    """Arithmetic of a CPU second as a share of that of the matrices' product."""
    if name == PEAK:
        return f"{float(contest.versions[PEAK]['GFLOP a step']) / contest.median(PEAK, 'cpu'):.0f} GFLOP/s"
    ratios = contest.ratios(PEAK, name, "cpu")
    return f"{work / float(contest.versions[PEAK]['GFLOP a step']) * median(ratios):.2f}" if ratios else "-"


def _times(ratios: list[float]) -> str:
    return f"{median(ratios):.2f}" if ratios else "-"


def _section(contest: Contest, work: float) -> list[str]:
    cores, done = len(contest.cores), contest.done()
    parts = [f"## {contest.name}, {cores} core{'s' * (cores > 1)}\n"]
    parts.append(f"{work:.1f} GFLOP. Load average of the machine before: {contest.load_before:.2f}.\n")
    parts += [f"**{name} failed**: {why}\n" for name, why in contest.failures.items()]
    base = ENDPOINT if ENDPOINT in done else None
    rows = []
    for name in done:
        ratio = ", ".join(f"{value:.2f}" for value in spread(contest.ratios(name, base))) if base else ""
        row = [name, contest.versions[name].get("form", ""), f"{contest.median(name):.3f}"]
        row += [f"{contest.median(name, 'cpu'):.3f}", ratio or "-", f"{contest.finished(name)[-1].rss_peak_mb:.0f}"]
        row.append(_share(contest, name, work))
        rows.append(row)
    head = ["contestant", "form", "s, median", "CPU s, median", "s over the endpoint's: min, median, max"]
    head += ["peak RSS MB", "share of sgemm"]
    parts.append(table(head, rows))
    parts.append("Seconds (CPU seconds), every round:\n")
    each = [
        [number, *(f"{turns[name].wall:.3f} ({turns[name].cpu:.3f})" if name in turns else "-" for name in done)]
        for number, turns in enumerate(contest.rounds, 1)
    ]
    return [*parts, table(["round", *done], each)]
