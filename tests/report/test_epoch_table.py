"""The figures of the epochs as CSV and JSON, read back by the standard library."""

import csv
import json

from sagemaker_semseg.report.epoch_table import write_epochs

HISTORY = [{"loss": 1.5, "val_mIOU": 0.25}, {"loss": 1 / 3}]


def test_csv_and_json_have_each_epoch(tmp_path):
    write_epochs(HISTORY, 0, tmp_path)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "0", "loss": "1.5", "val_mIOU": "0.25"},
        {"epoch": "1", "loss": repr(1 / 3), "val_mIOU": ""},
    ]
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content == {"history": [{"epoch": n, **figures} for n, figures in enumerate(HISTORY)], "best_epoch": 0}
