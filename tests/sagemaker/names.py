"""What becomes of each public name of SDK 2; as a program it prints docs/sagemaker_names.md."""

import importlib
import json
from pathlib import Path

from sagemaker_semseg import sagemaker
from sagemaker_semseg.sagemaker.not_here import HERE, NotHereError, missing

NAMES = json.loads(Path(__file__).with_name("sdk2_names.json").read_text())
CLASSES = {
    "Session": sagemaker.Session,
    "Estimator": sagemaker.estimator.Estimator,
    "Model": sagemaker.Model,
    "Predictor": sagemaker.Predictor,
    "Transformer": sagemaker.transformer.Transformer,
    "HyperparameterTuner": sagemaker.tuner.HyperparameterTuner,
    "TrainingJobAnalytics": sagemaker.TrainingJobAnalytics,
    "HyperparameterTuningJobAnalytics": sagemaker.HyperparameterTuningJobAnalytics,
}


def remedy(error):
    """What the error says to use."""
    return error.message.partition("isn't here: ")[2].partition(".\nFor AWS's own SDK")[0]


def module_remedy(module):
    """None if the module is here, else what its error says."""
    try:
        importlib.import_module(f"{HERE}.{module}")
    except NotHereError as error:
        return remedy(error)
    return None


def name_remedy(module, name):
    try:
        getattr(importlib.import_module(f"{HERE}.{module}".rstrip(".")), name)
    except NotHereError as error:
        return remedy(error)
    return None


def method_remedy(owner, name):
    return None if hasattr(CLASSES[owner], name) else remedy(missing(f"{owner}.{name}"))


def rows(names, find):
    """Lines of a table: what is here, then what isn't, by what to use."""
    found = {name: find(name) for name in names}
    here = [name for name, instead in found.items() if instead is None]
    yield f"| here | {', '.join(f'`{name}`' for name in here) or '-'} |"
    for instead in dict.fromkeys(filter(None, found.values())):
        listed = ", ".join(f"`{name}`" for name, other in found.items() if other == instead)
        yield f"| not here: {instead} | {listed} |"


def markdown():
    lines = [
        "# SDK 2's names",
        "",
        f"What becomes of the public names of AWS's SDK {NAMES['version']} in `sagemaker_semseg.sagemaker`",
        "([notebooks.md](notebooks.md)). A name that isn't here raises an error with the text beside it.",
        "`make docs` writes this page.",
        "",
        "## Modules",
        "",
        *("| | |", "|---|---|"),
        *rows(NAMES["modules"], module_remedy),
    ]
    for module, names in NAMES["names"].items():
        title = f"sagemaker.{module}".rstrip(".")
        lines += ["", f"## {title}", "", "| | |", "|---|---|"]
        lines += rows(names, lambda name, module=module: name_remedy(module, name))
    for owner, names in NAMES["methods"].items():
        lines += ["", f"## Methods of {owner}", "", "| | |", "|---|---|"]
        lines += rows(names, lambda name, owner=owner: method_remedy(owner, name))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
