"""The journal of a tuning: what was written is read again, and what no tuning has written does no harm."""

import itertools
import json
import random

from sagemaker_semseg.sdk.local.study import NAME, Study, Trial


def written(folder):
    study = Study(folder)
    study.started(Trial(1, "streets-001-aa", {"learning_rate": "0.001"}))
    study.ended(1, "Completed", 0.5)
    study.started(Trial(2, "streets-002-bb", {"learning_rate": "0.002"}))
    study.ended(2, "Failed", None, "it broke\nbadly")
    study.started(Trial(3, "streets-003-cc", {"learning_rate": "0.003"}))
    study.close()
    return study.trials


def test_what_was_written_is_read_again(tmp_path):
    assert Study(tmp_path).trials == {}
    trials = written(tmp_path)
    assert Study(tmp_path).trials == trials
    assert [(trial.status, trial.ended) for trial in trials.values()] == [
        ("Completed", True), ("Failed", True), ("InProgress", False),
    ]  # fmt: skip


def test_a_trial_that_is_tried_again_begins_anew(tmp_path):
    written(tmp_path)
    study = Study(tmp_path)
    study.started(Trial(2, "streets-002-dd", {"learning_rate": "0.002"}))
    study.close()
    assert Study(tmp_path).trials[2] == Trial(2, "streets-002-dd", {"learning_rate": "0.002"})


def test_of_equal_objectives_the_first_is_best(tmp_path):
    study = Study(tmp_path)
    for number, objective in ((1, 0.5), (2, 0.75), (3, 0.75), (4, None)):
        study.started(Trial(number, "job", {}))
        study.ended(number, "Completed", objective)
    study.close()
    assert study.best(maximize=True).number == 2
    assert study.best(maximize=False).number == 1


def test_a_line_that_was_cut_short_costs_itself_alone(tmp_path):
    trials = written(tmp_path)
    journal = tmp_path / NAME
    data = journal.read_bytes()
    for cut in range(len(data)):
        journal.write_bytes(data[:cut])
        study = Study(tmp_path)
        study.started(Trial(9, "streets-009-ee", {}))
        study.close()
        found = Study(tmp_path).trials
        assert found.pop(9).job == "streets-009-ee"
        assert set(found) <= set(trials)
        complete = data[:cut].count(b"\n")
        assert set(found) >= {line["trial"] for line in map(json.loads, data.splitlines()[:complete])}


def test_bytes_of_others_do_no_harm(tmp_path):
    written(tmp_path)
    data = bytearray((tmp_path / NAME).read_bytes())
    draws = random.Random(5)
    values = [None, True, -1, 0, 10**400, 1e400, "x", [], {}, 2**63, 1.5, "NaN"]
    lines = [
        b"null", b"[]", b"{}", b"[" * 5000, b'{"trial": true, "job": "a", "values": {}}',
        b'{"trial": 1, "status": "Completed", "objective": NaN, "failure": ""}',
        b'{"trial": 1, "status": "Completed", "objective": Infinity, "failure": ""}',
    ]  # fmt: skip
    for a, b in itertools.product(values, values):
        lines.append(json.dumps({"trial": a, "status": "Failed", "objective": b, "failure": ""}).encode())
        lines.append(json.dumps({"trial": a, "job": "j", "values": {"x": b}}).encode())
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(draws.randint(1, 8)):
            changed[draws.randrange(len(changed))] = draws.randrange(256)
        mixed = [*changed.split(b"\n"), *draws.sample(lines, 20)]
        draws.shuffle(mixed)
        (tmp_path / NAME).write_bytes(b"\n".join(mixed))
        for number, trial in Study(tmp_path).trials.items():
            assert type(number) is int
            assert 1 <= number <= 10_000
            assert trial.objective is None or abs(trial.objective) < float("inf")
            assert all(isinstance(value, str) for value in trial.values.values())
