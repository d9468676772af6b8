"""The table "your tool: export as ...", and what a tool's files look like; docs/convert.md shows the same table."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 1 << 16
_MOST_FILES: Final = 5000
_MOST_TEXTS: Final = 20


@dataclass(frozen=True)
class AnnotationTool:
    """A tool or format, and the way from it to a training.

    Attributes:
        name: The tool, and its format where it has several.
        export: What to export from it; empty where its files are read as they are.
        command: What reads them; DIR and FILE stand for them.
        path: Matches paths of its files below a folder; none if empty.
        content: Patterns that all occur at the beginning of its text files; none if empty. One for each word: a pattern
            over several takes too long for a hostile file.
    """

    name: str
    export: str
    command: str
    path: str = ""
    content: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recognized:
    """A tool's files. folder: in which they are. file: the one that showed it."""

    tool: AnnotationTool
    folder: Path
    file: Path

    @property
    def advice(self) -> str:
        """A sentence for messages, with the command."""
        command = f"{PROGRAM} {self.tool.command}"
        if self.tool.export:
            return f"files of {self.tool.name} were found; export {self.tool.export}, then {command}"
        command = command.replace("FILE", shlex.quote(str(self.file))).replace("DIR", shlex.quote(str(self.folder)))
        return f"files of {self.tool.name} were found, which {command} reads"


PROGRAM: Final = "sagemaker-semseg"
_COCO: Final = "convert coco FILE --images DIR --output NEW"

TOOLS: Final = (
    AnnotationTool(
        "Label Studio's brush as PNG",
        "also JSON-MIN, which names the images (or all as COCO)",
        "convert labelstudio DIR --tasks FILE --images DIR --output NEW",
        path=r"task-\d+-annotation-\d+-by-.*-tag-.*\.(png|npy)",
    ),
    AnnotationTool(
        "Label Studio's JSON",
        "COCO (polygons) or Brush labels to PNG",
        _COCO,
        content=(r'"(from_name|completed_by|brushlabels|polygonlabels)"\s{0,9}:',),
    ),
    AnnotationTool(
        "Supervisely",
        "",
        "convert supervisely DIR --output NEW",
        content=(r'"(classTitle|geometryType|projectType)"\s{0,9}:',),
    ),
    AnnotationTool(
        "VGG Image Annotator (VIA)",
        "annotations as COCO format",
        _COCO,
        content=(r'"(_via_settings|_via_img_metadata|shape_attributes)"\s{0,9}:|region_shape_attributes',),
    ),
    AnnotationTool(
        "CVAT's XML",
        "Segmentation mask 1.1",
        "convert voc DIR --output NEW",
        content=(r"<annotations>\s{0,99}<version>",),
    ),
    AnnotationTool(
        "Pascal VOC's boxes (LabelImg and others)",
        "outlines or masks: boxes say nothing about single pixels; or boxes as COCO",
        f"{_COCO} --boxes fill",
        content=(r"<annotation[ >]", r"<object>", r"<bndbox>"),
    ),
    AnnotationTool(
        "Labelbox",
        "COCO, with Labelbox's own converter",
        _COCO,
        content=(r'"(data_row|Labeled Data|labelbox_id)"\s{0,9}:',),
    ),
    AnnotationTool(
        "LabelMe",
        "",
        "convert labelme DIR --output NEW",
        content=(r'"(imagePath|shape_type)"\s{0,9}:', r'"shapes"\s{0,9}:'),
    ),
    AnnotationTool(
        "COCO",
        "",
        _COCO,
        path=r"_annotations\.coco\.json",
        content=(
            r'"(images|annotations|categories)"\s{0,9}:\s{0,9}\[',
            r'"(file_name|image_id|supercategory)"\s{0,9}:',
        ),
    ),
    AnnotationTool(
        "Roboflow's Semantic Segmentation Masks",
        "",
        "convert folders DIR --output NEW",
        path=r"_classes\.csv",
    ),
    AnnotationTool(
        "YOLO",
        "segmentation, not detection",
        "convert yolo DIR --output NEW",
        path=r"data\.ya?ml",
    ),
    AnnotationTool(
        "Pascal VOC's folders",
        "",
        "convert voc DIR --output NEW",
        path=r"SegmentationClass(PNG)?/.*\.png",
    ),
    AnnotationTool(
        "Cityscapes' folders",
        "",
        "convert cityscapes DIR --output NEW",
        path=r".*_gtFine_(labelIds|labelTrainIds|color)\.png",
    ),
)
"""In the order in which they are tried."""


def recognize(path: Path) -> Recognized | None:
    """Return the tool that wrote a file, or the files in a folder and below it; None if none is known."""
    folder = path.parent if path.is_file() else path
    files = [path] if path.is_file() else _walk(path)[:_MOST_FILES]
    texts = [file for file in files if file.suffix.lower() in (".json", ".xml", ".csv")][:_MOST_TEXTS]
    heads = {file: _head(file) for file in texts}
    names = {file: file.relative_to(folder).as_posix() for file in files}
    for tool in TOOLS:
        by_name = [file for file in files if tool.path and re.fullmatch(rf"(.*/)?{tool.path}", names[file])]
        by_content = [file for file in texts if tool.content and all(re.search(p, heads[file]) for p in tool.content)]
        if by_name or by_content:
            return Recognized(tool, folder, [*by_name, *by_content][0])
    return None


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [Path(here, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > _MOST_FILES:
            break
    return found


def _head(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
