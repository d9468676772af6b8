"""The command ``sagemaker-semseg weights``: lists, downloads and verifies ImageNet weights."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from sagemaker_semseg.architectures import VISIBLE_BACKBONES
from sagemaker_semseg.environment import WeightLocations, weight_locations
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.weights import pretrained

SUMMARY = "list, fetch and verify ImageNet weights"
DESCRIPTION = """\
ImageNet weights for use_pretrained_model. Training fetches what it needs by itself; this does it ahead of time, for
machines and containers without a network, and checks what is there.

  list      every backbone, and where its weights are
  fetch     the weights of BACKBONEs into the cache, or into the folder --output
  verify    digests, names and shapes of the files of BACKBONEs, by default of all that are there"""
EPILOG = """\
examples:
  sagemaker-semseg weights list
  sagemaker-semseg weights fetch resnet-50 resnet-101
  sagemaker-semseg weights fetch resnet-50 --output image/weights      for a container's image
  sagemaker-semseg weights verify

variables: SAGEMAKER_SEMSEG_CACHE is the cache, SAGEMAKER_SEMSEG_WEIGHTS the folder of a container's image, HF_ENDPOINT
  another hub, HF_HUB_OFFLINE=1 forbids downloads

"""

_KNOWN = ", ".join(VISIBLE_BACKBONES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=sorted(_ACTIONS), metavar="ACTION", help="list, fetch or verify")
    parser.add_argument("backbones", nargs="*", metavar="BACKBONE", help=f"one or more of {_KNOWN}")
    parser.add_argument("--output", type=Path, metavar="DIR", help="fetch: where to, instead of the cache")


def run(options: argparse.Namespace) -> int:
    unknown = [name for name in options.backbones if name not in VISIBLE_BACKBONES]
    faults = [Fault(name, "there is no such backbone", f"give one of {_KNOWN}") for name in unknown]
    faults += options.faults
    if options.action == "fetch" and not options.backbones:
        faults.append(Fault("BACKBONE", "is missing", f"give one or more of {_KNOWN}"))
    if faults:
        raise UserError("The command can't be carried out:", faults)
    places = weight_locations()
    if options.output:
        places = dataclasses.replace(places, cache=options.output)
    _ACTIONS[options.action](options.backbones, places)
    return 0


def _list(backbones: list[str], places: WeightLocations) -> None:
    for name in backbones or VISIBLE_BACKBONES:
        found = pretrained.find(name, places)
        published = pretrained.published(name)
        where = f"{found.origin}: {found.path}" if found else f"to be fetched: {published.url(places.hub)}"
        print(f"{name:<12}{published.model:<22}{where}")


def _fetch(backbones: list[str], places: WeightLocations) -> None:
    if places.offline:
        fault = Fault("HF_HUB_OFFLINE", "forbids to ask the hub", "unset it, or bring the file")
        raise UserError("Weights can't be fetched:", [fault])
    for name in backbones:
        with progress_bar(f"fetching {name}") as on_progress:
            found = pretrained.fetch_weights(name, places, on_progress)
        _show(name, found)


def _verify(backbones: list[str], places: WeightLocations) -> None:
    found = {name: pretrained.find(name, places) for name in backbones or VISIBLE_BACKBONES}
    missing = [name for name in backbones if not found[name]]
    if missing or not any(found.values()):
        what = f"there are no weights of {', '.join(missing) or 'any backbone'}"
        fault = Fault(f"{places.cache}, {places.image}", what, "fetch them: sagemaker-semseg weights fetch BACKBONE")
        raise UserError("Weights can't be verified:", [fault])
    for name, file in found.items():
        if file:
            _show(name, file)


def _show(backbone: str, found: pretrained.Found) -> None:
    """Read the file as a training would, and name the digest that it was compared with."""
    arrays = pretrained.load(backbone, found)
    known = pretrained.verify(backbone, found.path) or "no digest of it is known"
    print(f"{backbone:<12}{found.path}: {len(arrays)} arrays of the right shapes; {known}")


_ACTIONS = {"list": _list, "fetch": _fetch, "verify": _verify}
