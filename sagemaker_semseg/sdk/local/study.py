"""The trials of a tuning on this machine: an optuna study in a journal file.

A trial that isn't finished in the journal is one that runs, or one that was interrupted and is tried again.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.parameters import CategoricalParameter, IntegerParameter, Parameter, scale_of
from sagemaker_semseg.sdk.specs import TuningSpec

NAME: Final = "study.jsonl"
MAX_TRIALS: Final = 10_000
LOCAL_STRATEGIES: Final = ("Bayesian", "Random", "Grid")
RANDOM_TRIALS: Final = 10
"""Trials at random before TPE starts; optuna's default."""


@dataclass(frozen=True)
class Trial:
    """One trial.

    number: from 1. values: of the searched hyperparameters, as strings. status: of its training job, or Interrupted.
    objective: of its best epoch; None if there is none. finished: whether it isn't tried again.
    """

    number: int
    job: str
    values: Mapping[str, str]
    status: str = "InProgress"
    objective: float | None = None
    failure: str = ""
    finished: bool = False


class Study:
    """The trials in ``folder``. The one process that runs the tuning opens it with ``writable``."""

    def __init__(self, folder: Path, spec: TuningSpec, *, writable: bool = False):
        self._path, self._spec = folder / NAME, spec
        self._maximize = spec.objective_type == "Maximize"
        self._study: Any = None
        if writable:
            _drop_torn_line(self._path)
        if writable or self._path.exists():
            self._open(writable)

    def _open(self, writable: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with _readable(self._path):
            backend = optuna.storages.journal.JournalFileBackend(str(self._path))
            self._storage = optuna.storages.JournalStorage(backend)
            if writable:
                direction = "maximize" if self._maximize else "minimize"
                self._study = optuna.create_study(
                    storage=self._storage, study_name=self._spec.name, direction=direction, load_if_exists=True
                )
            else:
                with contextlib.suppress(KeyError):  # the first line isn't there yet
                    self._study = optuna.load_study(storage=self._storage, study_name=self._spec.name)

    def trials(self) -> list[Trial]:
        """All trials, by their numbers."""
        if self._study is None:
            return []
        with _readable(self._path):
            return [self._trial(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def best(self) -> Trial | None:
        """The trial with the best objective, the first of equal ones."""
        sign = -1 if self._maximize else 1
        tried = [trial for trial in self.trials() if trial.objective is not None]
        return min(tried, key=lambda trial: (sign * (trial.objective or 0.0), trial.number), default=None)

    def propose(self) -> Trial:
        """Add a trial with values that the strategy chooses."""
        import optuna

        # with a sampler of its own for each trial, its values follow from the seed and its number
        sampler = _sampler(self._spec, len(self._study.get_trials(deepcopy=False)) + 1)
        study = optuna.load_study(storage=self._storage, study_name=self._spec.name, sampler=sampler)
        ranges = sorted(self._spec.ranges.items())
        number = study.ask({name: _distribution(parameter) for name, parameter in ranges}).number
        return self.trials()[number]

    def start(self, trial: Trial, job: str) -> None:
        """Record the training job of a trial, before it is started."""
        live = self._live(trial.number)
        live.set_user_attr("job", job)
        live.set_user_attr("result", None)

    def end(self, number: int, status: str, objective: float | None, failure: str = "") -> Trial:
        """Record how the training job of a trial has ended. An ``Interrupted`` trial isn't finished."""
        import optuna

        result = {"status": status, "objective": objective, "failure": failure[:2000]}
        self._live(number).set_user_attr("result", result)
        if status != "Interrupted":
            state = optuna.trial.TrialState.FAIL if objective is None else None
            self._study.tell(number - 1, objective, state)
        return self.trials()[number - 1]

    def restart(self) -> None:
        """Forget all trials. The same seed chooses the same values again."""
        self._path.unlink()
        self._open(writable=True)

    def _live(self, number: int) -> Any:
        """Return optuna's trial, which may be changed."""
        import optuna

        study_id = self._storage.get_study_id_from_name(self._spec.name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number - 1)
        return optuna.trial.Trial(self._study, trial_id)

    def _trial(self, frozen: Any) -> Trial:
        values = {
            name: _text(parameter, frozen.params[name])
            for name, parameter in self._spec.ranges.items()
            if name in frozen.params
        }
        job, result = frozen.user_attrs.get("job", ""), frozen.user_attrs.get("result") or {}
        return Trial(frozen.number + 1, job, values, finished=frozen.state.is_finished(), **result)


def grid_size(ranges: Mapping[str, Parameter]) -> int:
    """The number of trials of a grid."""
    return math.prod(len(_choices(parameter)) for parameter in ranges.values())


def _choices(parameter: Parameter) -> Sequence[str]:
    return parameter.values if isinstance(parameter, CategoricalParameter) else (" ",)


def _sampler(spec: TuningSpec, number: int) -> Any:
    from optuna import samplers

    of_study, of_trial = (
        random.Random(text).getrandbits(32) for text in (f"{spec.random_seed}", f"{spec.random_seed} {number}")
    )
    match spec.strategy:
        case "Grid":
            return samplers.GridSampler(
                {name: _choices(parameter) for name, parameter in spec.ranges.items()}, seed=of_study
            )
        case "Random":
            return samplers.RandomSampler(seed=of_trial)
    # constant_liar: what runs at this moment keeps others away from its place
    return samplers.TPESampler(seed=of_trial, n_startup_trials=RANDOM_TRIALS, constant_liar=True)


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, CategoricalParameter):
        return CategoricalDistribution(parameter.values)
    low, high, scale = parameter.min_value, parameter.max_value, scale_of(parameter)
    if isinstance(parameter, IntegerParameter):
        return IntDistribution(int(low), int(high), log=scale == "Logarithmic")
    if scale == "ReverseLogarithmic":  # logarithmic in 1 - x
        return FloatDistribution(1 - high, 1 - low, log=True)
    return FloatDistribution(low, high, log=scale == "Logarithmic")


def _text(parameter: Parameter, value: Any) -> str:
    """A value of optuna's as the training gets it: with six digits, where these stay in the range."""
    if isinstance(parameter, CategoricalParameter | IntegerParameter):
        return str(value)
    low, high = parameter.min_value, parameter.max_value
    number = 1 - value if scale_of(parameter) == "ReverseLogarithmic" else value
    rounded = float(f"{number:.6g}")
    return str(rounded if low <= rounded <= high else min(max(number, low), high))


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line without an end: its process died over it, and optuna reads no line after such a one."""
    with contextlib.suppress(FileNotFoundError):
        complete = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, complete)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AssertionError, AttributeError, LookupError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}).\nGive the tuning another name, or delete the tuning."
        ) from None
