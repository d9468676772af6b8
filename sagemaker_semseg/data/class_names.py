"""The classes of Ground Truth's masks: the pairs of all splits come in, whose maps of colours name classes; one list of
names goes out, a class's label is its place in it, and every pair's map knows the list. ``samples`` calls it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from sagemaker_semseg.data.color_map import Colours, class_list, is_background
from sagemaker_semseg.data.faults import FaultList
from sagemaker_semseg.data.labels import MOST_CLASSES
from sagemaker_semseg.data.pairs import Pair


def resolve_class_names(
    pairs: Mapping[str, list[Pair]],
    by_number: Collection[str],
    num_classes: int,
    given: Sequence[str],
    faults: FaultList,
    notes: Mapping[str, list[str]],
) -> tuple[str, ...]:
    """The names of the classes, ``given`` if there are no maps; the lists of ``pairs`` are changed in place.

    pairs, notes: by split. by_number: splits with a label map, which says what the masks' numbers mean, so that their
    colours mean nothing. num_classes: ``MOST_CLASSES`` if it isn't known.
    """
    for split in pairs:
        if split in by_number and any(pair.colours for pair in pairs[split]):
            pairs[split][:] = [replace(pair, colours=None) for pair in pairs[split]]
            notes[split].append(f"{split}: there is a label map, so the masks' numbers count, not their colours")
    maps: dict[Colours, Pair] = {}
    for split in pairs:
        coloured = any(pair.colours for pair in pairs[split])
        for pair in pairs[split]:
            if pair.colours:
                maps.setdefault(pair.colours, pair)
            elif coloured:
                remedy = "add its metadata, remove the line, or give a label map: then the masks' numbers count"
                faults.add("line without colours", pair.where, "has no internal-color-map, others have one", remedy)
    if not maps:
        return tuple(given)
    names, by_key = class_list(maps)
    if given:
        _check_given(given, maps, faults)
        names = tuple(given)
    else:
        order = "by their keys" if by_key else "by name, since the keys of the lines differ"
        listed = ", ".join(f"{label} {name}" for label, name in enumerate(names))
        next(iter(notes.values())).append(f"labels of the classes, {order}: {listed}")
        if len(names) != num_classes and num_classes != MOST_CLASSES:
            what = f"the colour maps name {len(names)} classes ({', '.join(names)}), num_classes is {num_classes}"
            remedy = f"give num_classes {len(names)}, or class names from label 0 on (--class-names)"
            faults.add("number of classes", "internal-color-map", what, remedy)
    under = {colours: colours.under(names[:num_classes]) for colours in maps}
    for split in pairs:
        pairs[split][:] = [
            replace(pair, colours=under[pair.colours]) if pair.colours else pair for pair in pairs[split]
        ]
    return names


def _check_given(given: Sequence[str], maps: Mapping[Colours, Pair], faults: FaultList) -> None:
    """A background may be left out: it is ignored then."""
    unknown: dict[str, Pair] = {}
    for colours, pair in maps.items():
        for entry in colours.entries:
            if entry.name not in given and not is_background(entry.name):
                unknown.setdefault(entry.name, pair)
    for name, pair in unknown.items():
        near = get_close_matches(name, given, n=1)
        remedy = f"write {name!r} instead of {near[0]!r}" if near else "add it to the class names"
        faults.add("unknown class", pair.where, f"the class {name!r} isn't among {', '.join(given)}", remedy)
