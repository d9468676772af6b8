"""Strategies of a tuning on this machine: the ranges, a seed and what earlier trials came to go in, the values of the
next trial come out. ``tuning`` asks.

The draws of a trial follow from the seed and its number, so that a tuning that goes on after an interruption draws what
it would have drawn. With TPE they follow from the results so far, too; one job at a time gives the same trials again.
optuna (extra ``tune``), which has TPE, is imported when it is first used.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sagemaker_semseg.sdk.local.study import Trial
from sagemaker_semseg.sdk.parameters import CategoricalParameter, Parameter

Ranges = Mapping[str, Parameter]
Values = dict[str, str]

RANDOM_AT_FIRST: Final = 10
"""Trials before TPE has enough to go by; optuna's own number."""

_JUST_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


def propose(
    strategy: str, ranges: Ranges, seed: int, number: int, trials: Sequence[Trial], *, maximize: bool
) -> Values:
    """The values of trial ``number`` (from 1 on). trials: the others, with their results as far as there are any."""
    return _STRATEGIES[strategy](ranges, seed, number, trials, maximize)


def grid_size(ranges: Ranges) -> int:
    """How many trials a grid of choices has."""
    return math.prod(len(getattr(parameter, "values", " ")) for parameter in ranges.values())


def fits(ranges: Ranges, values: Mapping[str, str]) -> bool:
    """Whether these are values of a trial: one for each range, within it."""
    try:
        return set(values) == set(ranges) and all(_within(ranges[name], value) for name, value in values.items())
    except ValueError:
        return False


def _within(parameter: Parameter, value: str) -> bool:
    if isinstance(parameter, CategoricalParameter):
        return value in parameter.values
    return parameter.min_value <= float(value) <= parameter.max_value


def _random(ranges: Ranges, seed: int, number: int, trials: Sequence[Trial], maximize: bool) -> Values:
    draws = random.Random(f"{seed} {number}")  # as text: stable over versions of Python
    values = {}
    for name in sorted(ranges):
        parameter, draw = ranges[name], draws.random()
        if isinstance(parameter, CategoricalParameter):
            values[name] = parameter.values[int(draw * len(parameter.values))]
        else:
            values[name] = str(parameter.at(draw))
    return values


def _grid(ranges: Ranges, seed: int, number: int, trials: Sequence[Trial], maximize: bool) -> Values:
    names = sorted(ranges)
    choices = [getattr(ranges[name], "values", ()) for name in names]
    point = next(itertools.islice(itertools.product(*choices), number - 1, None))
    return dict(zip(names, point, strict=True))


def _tpe(ranges: Ranges, seed: int, number: int, trials: Sequence[Trial], maximize: bool) -> Values:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {}
    for name, parameter in sorted(ranges.items()):
        if isinstance(parameter, CategoricalParameter):
            distributions[name] = CategoricalDistribution(parameter.values)
        else:
            distributions[name] = FloatDistribution(0.0, 1.0)
    sampler = optuna.samplers.TPESampler(
        seed=random.Random(f"{seed} {number}").getrandbits(32),
        n_startup_trials=RANDOM_AT_FIRST,
        constant_liar=True,  # what runs at this moment keeps others away from its place
    )
    study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
    for trial in trials:
        unsuccessful = TrialState.FAIL if trial.counts else TrialState.RUNNING
        state = TrialState.COMPLETE if trial.counts and trial.objective is not None else unsuccessful
        study.add_trial(
            create_trial(
                state=state,
                params={name: _place(ranges[name], trial.values[name]) for name in distributions},
                distributions=distributions,
                value=trial.objective if state == TrialState.COMPLETE else None,
            )
        )
    found = study.ask(distributions).params
    return {name: _value(ranges[name], found[name]) for name in distributions}


def _place(parameter: Parameter, value: str) -> Any:
    if isinstance(parameter, CategoricalParameter):
        return value
    return min(max(parameter.place(float(value)), 0.0), 1.0)  # type: ignore[arg-type]  # whole where it has to be


def _value(parameter: Parameter, place: Any) -> str:
    if isinstance(parameter, CategoricalParameter):
        return str(place)
    return str(parameter.at(min(place, _JUST_BELOW_ONE)))


_STRATEGIES: Final[Mapping[str, Callable[[Ranges, int, int, Sequence[Trial], bool], Values]]] = {
    "Bayesian": _tpe,
    "Random": _random,
    "Grid": _grid,
}
STRATEGIES: Final = tuple(_STRATEGIES)
