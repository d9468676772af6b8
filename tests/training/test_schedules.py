"""Learning rates against the reference engine's, and by hand."""

import math

import pytest

from sagemaker_semseg.training.schedules import Schedule, make_schedule


def ours(entry):
    """The schedule of an entry of the reference file; None for kinds that the contract doesn't have."""
    args = entry["args"]
    if entry["kind"].startswith("train.py"):
        per_epoch = args["iters_per_epoch"]
        return Schedule("poly", args["lr"], args["epochs"] * per_epoch, warmup=args["warmup_epochs"] * per_epoch)
    total = args.get("niters") or args["nepochs"] * args["iters_per_epoch"]
    steps = args.get("step_iter") or [e * args["iters_per_epoch"] for e in args.get("step_epoch", [])]
    if args["mode"] not in ("poly", "cosine", "step") or args.get("target_lr") or args.get("power", 0.9) != 0.9:
        return None
    return Schedule(args["mode"], args["base_lr"], total, milestones=steps, factor=args.get("step_factor", 0.1))


def test_agrees_with_the_reference(reference):
    checked = 0
    for entry in reference("lr_schedule.json")["schedules"]:
        schedule = ours(entry)
        if schedule is None:
            continue
        checked += 1
        for update, expected in zip(entry["num_update"], entry["lr"], strict=True):
            assert schedule(update) == pytest.approx(expected, rel=1e-12, abs=1e-18), (entry["args"], update)
    assert checked >= 6


@pytest.mark.parametrize(
    ("schedule", "update", "rate"),
    [
        (Schedule("poly", 0.01, 30), 0, 0.01),
        (Schedule("poly", 0.01, 30), 1, 0.009689113204621999),
        (Schedule("poly", 0.01, 30), 29, 0.0),
        (Schedule("poly", 0.01, 30), 1000, 0.0),
        (Schedule("cosine", 0.1, 30), 2, 0.09883102778550434),
        (Schedule("poly", 0.01, 32, warmup=8), 1, 0.0014285714285714284),
        (Schedule("step", 0.1, 30, milestones=(10, 20)), 19, 0.01),
        (Schedule("step", 0.1, 30, milestones=(10, 20)), 20, 0.001),
        (Schedule("poly", 0.5, 1), 0, 0.5),
        (Schedule("poly", 0.5, 4, warmup=1), 0, 0.0),
    ],
)
def test_by_hand(schedule, update, rate):
    assert schedule(update) == pytest.approx(rate, rel=1e-12)


def test_num_training_samples_sets_the_length(make_hp):
    hp = make_hp(epochs=3, mini_batch_size=4, warmup_epochs=0.5)
    assert make_schedule(hp, samples=10).total == 3 * math.ceil(10 / 4)
    assert make_schedule(hp, samples=10).warmup == 2  # 1.5 updates, to the even
    assert make_schedule(make_hp(epochs=3, mini_batch_size=4, num_training_samples=100), samples=10).total == 75
    stepped = make_hp(lr_scheduler="step", lr_scheduler_step=(1, 2), mini_batch_size=2)
    assert make_schedule(stepped, samples=10).milestones == (5, 10)
