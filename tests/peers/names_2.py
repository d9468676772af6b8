"""Writes ``tests/sagemaker/sdk2_names.json``: the public names of the installed SageMaker Python SDK 2.

Read from its source: its modules, the names in those that this package has, and the methods of the main classes.
"""

import ast
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / "sagemaker_semseg" / "sagemaker"
CLASSES = {
    "Session": [("session", "Session")],
    "Estimator": [("estimator", "EstimatorBase"), ("estimator", "Estimator")],
    "Model": [("model", "Model")],
    "Predictor": [("base_predictor", "Predictor")],
    "Transformer": [("transformer", "Transformer")],
    "HyperparameterTuner": [("tuner", "HyperparameterTuner")],
    "TrainingJobAnalytics": [("analytics", "AnalyticsMetricsBase"), ("analytics", "TrainingJobAnalytics")],
    "HyperparameterTuningJobAnalytics": [
        ("analytics", "AnalyticsMetricsBase"), ("analytics", "HyperparameterTuningJobAnalytics"),
    ],
}  # fmt: skip


def public(name):
    return not name.startswith("_")


def names_of(path):
    """The names that a module defines or takes from the SDK's own modules."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith("sagemaker")):
            found |= {alias.asname or alias.name for alias in node.names}
    return sorted(name for name in found if public(name) and name not in ("logger", "LOGGER"))


def methods_of(root, places):
    found = set()
    for module, name in places:
        for node in ast.parse((root / f"{module}.py").read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                found |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    return sorted(filter(public, found))


def main():
    root = Path(importlib.util.find_spec("sagemaker").origin).parent
    modules, names = [], {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if all(map(public, parts)):
            module = ".".join(parts)
            modules.append(module)
            ours = OURS.joinpath(*parts)
            if ours.with_suffix(".py").is_file() or (ours / "__init__.py").is_file():
                names[module] = names_of(path)
    content = {
        "version": importlib.metadata.version("sagemaker"),
        "modules": sorted(filter(None, modules)),
        "names": names,
        "methods": {name: methods_of(root, places) for name, places in CLASSES.items()},
    }
    text = json.dumps(content, indent=1) + "\n"
    target = ROOT / "tests" / "sagemaker" / "sdk2_names.json"
    if "--check" in sys.argv[1:]:
        sys.exit(0 if target.read_text() == text else f"{target} isn't that of SDK {content['version']}")
    target.write_text(text)


main()
