"""The pages keep their promises: links lead somewhere, examples are accepted and do what the text says."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from sagemaker_semseg import hyperparameters
from sagemaker_semseg.checks.rules import RULES
from sagemaker_semseg.cli import flags
from sagemaker_semseg.data import (
    channels,
    color_map,
    color_masks,
    datasets,
    files,
    image_headers,
    images,
    manifest,
)
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.errors import FaultList

ROOT = Path(__file__).resolve().parents[1]
DATA_MODULES = (channels, color_map, color_masks, image_headers, files, images, manifest, datasets)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_the_hyperparameter_page_is_the_table_s():
    assert (ROOT / "docs/hyperparameters.md").read_text() == hyperparameters.markdown(), "run make docs"


def test_the_label_maps_on_the_data_page_do_what_it_says():
    scale, mapped, *_ = re.findall(r"```json\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.DOTALL)
    table = LabelMap.from_json(scale.encode(), num_classes=3).table
    assert table[[0, 3, 6, 255]].tolist() == [0, 1, 2, 255]
    table = LabelMap.from_json(mapped.encode(), num_classes=3).table
    assert table[[5, 0, 7, 2, 1, 255]].tolist() == [0, 1, 1, 2, 255, 255]


def test_the_manifests_on_the_data_page_are_read(tmp_path):
    plain, color_masks = re.findall(r"```json\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.DOTALL)[2:]
    faults = FaultList()
    (tmp_path / "plain.manifest").write_text(plain)
    (tmp_path / "coloured.manifest").write_text(color_masks.replace("\n", ""))  # in two lines for readers alone
    first, second = manifest.read_lines(tmp_path / "plain.manifest", faults)
    assert (first.image, second.mask) == ("s3://bucket/images/0001.jpg", f"{tmp_path}/masks/0002.png")
    (line,) = manifest.read_lines(tmp_path / "coloured.manifest", faults)
    assert [entry.name for entry in line.color_map.entries] == ["BACKGROUND", "road"]
    assert not faults.kinds


def test_the_data_page_names_faults_by_their_kinds():
    rows = re.search(r"\| fault \|.*?\n\n", (ROOT / "docs/data.md").read_text(), re.DOTALL).group().strip()
    named = {kind for row in rows.splitlines()[2:] for kind in row.split("|")[1].strip().split(", ")}
    source = "".join(Path(module.__file__).read_text() for module in DATA_MODULES)
    assert len(named) > 8
    assert {kind for kind in named if f'"{kind}"' not in source} == set()


def test_the_page_on_checks_has_every_finding():
    tables = re.findall(r"^\| finding \|.*?\n\n", (ROOT / "docs/check.md").read_text(), re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| ([^|]+?) \|", "".join(tables), re.MULTILINE)
    assert set(rows) - {"finding"} == set(RULES)


def test_the_readme_s_training_has_good_hyperparameters():
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^sagemaker-semseg train (--data.*)$", text, re.MULTILINE)
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--output")
    flags.add_hyperparameter_flags(parser)
    given = flags.hyperparameter_arguments(parser.parse_args(shlex.split(line)))
    assert hyperparameters.resolve(given).num_classes == 3
