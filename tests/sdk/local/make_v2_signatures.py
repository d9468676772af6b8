"""Writes ``v2_signatures.json``: names and defaults of the SageMaker Python SDK 2, from the source of its wheel.

pip download --no-deps sagemaker==2.257.7 && unzip sagemaker-2.257.7-*.whl -d v2
python tests/sdk/local/make_v2_signatures.py v2/sagemaker
"""

import ast
import json
import sys
from pathlib import Path

WANTED = [
    ("estimator.py", "EstimatorBase", "Estimator", ("fit", "attach", "deploy", "transformer")),
    ("estimator.py", "Estimator", "Estimator", ("__init__", "create_model")),
    ("base_predictor.py", "Predictor", "Predictor", ("__init__", "predict", "delete_endpoint", "delete_model")),
    ("transformer.py", "Transformer", "Transformer", ("transform", "wait", "stop_transform_job", "attach")),
    ("tuner.py", "HyperparameterTuner", "Tuner", ("__init__", "fit", "attach", "deploy", "best_estimator")),
    ("inputs.py", "TrainingInput", "TrainingInput", ("__init__",)),
]
NAMED = {"24 * 60 * 60": 86400, "logging.INFO": 20, "vpc_utils.VPC_CONFIG_DEFAULT": "VPC_CONFIG_DEFAULT"}


def value(default):
    if default is None:
        return "required"
    text = ast.unparse(default)
    return NAMED.get(text, text) if isinstance(default, ast.BinOp | ast.Attribute | ast.Call) else default.value


def main(root):
    found = {}
    for file, cls, ours, methods in WANTED:
        for node in ast.walk(ast.parse((root / file).read_text())):
            if isinstance(node, ast.ClassDef) and node.name == cls:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name in methods:
                        names = [argument.arg for argument in method.args.args[1:]]
                        defaults = [None] * (len(names) - len(method.args.defaults)) + method.args.defaults
                        signature = dict(zip(names, map(value, defaults), strict=True))
                        found.setdefault(ours, {})[method.name] = signature
    Path(__file__).with_name("v2_signatures.json").write_text(json.dumps(found, indent=1) + "\n")


main(Path(sys.argv[1]))
