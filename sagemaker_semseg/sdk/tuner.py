"""Searches hyperparameters with trainings on this machine, or with a tuning job on SageMaker.

Names, order and defaults of all arguments are those of the SageMaker Python SDK 2's ``HyperparameterTuner``.
"""

from __future__ import annotations

import difflib
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk import ranges, request_specs
from sagemaker_semseg.sdk.backends import backend_of, find_tuning_job
from sagemaker_semseg.sdk.estimator import SemSegEstimator
from sagemaker_semseg.sdk.names import base_from_image, base_from_name
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker_semseg.sdk.requests import STRATEGIES, TUNING_NAME_LENGTH, Tags, tag_list
from sagemaker_semseg.sdk.specs import TrainingSpec, TuningJob, TuningSpec
from sagemaker_semseg.sdk.tuning_analytics import TuningAnalytics

__all__ = ["CategoricalParameter", "ContinuousParameter", "HyperparameterTuner", "IntegerParameter", "Tuner"]

_DEFAULT_BASE: Final = "semseg-tuning"


class HyperparameterTuner:
    """A search for the hyperparameters that train best; ``Tuner`` is its short name.

        tuner = HyperparameterTuner(
            estimator,
            "validation:mIOU",
            {"learning_rate": ContinuousParameter(1e-4, 1e-1), "optimizer": CategoricalParameter(["sgd", "adam"])},
            max_jobs=20,
            max_parallel_jobs=2,
        )
        tuner.fit(channels, job_name="streets")
        predictor = tuner.deploy(1, "local")

    Args:
        estimator: Its ``instance_type`` decides where the trainings run.
        objective_metric_name: A metric of the log, such as "validation:mIOU".
        hyperparameter_ranges: v2's or this package's parameters, pairs, or lists of choices, by hyperparameter. None
            for one of them, or for all, is the whole range that docs/hyperparameters.md gives as tunable.
        strategy: Bayesian (TPE on this machine), Random or Grid; Hyperband on SageMaker only.
        autotune: Whether all other tunable hyperparameters are searched, too, except
            ``hyperparameters_to_keep_static``.

    The other arguments are v2's.

    Raises:
        UserError: With every argument that can't be used.
    """

    def __init__(
        self,
        estimator: SemSegEstimator,
        objective_metric_name: str,
        hyperparameter_ranges: Mapping[str, Any] | None,
        metric_definitions: Sequence[Mapping[str, str]] | None = None,
        strategy: str = "Bayesian",
        objective_type: str = "Maximize",
        max_jobs: int | None = None,
        max_parallel_jobs: int = 1,
        max_runtime_in_seconds: int | None = None,
        tags: Tags | None = None,
        base_tuning_job_name: str | None = None,
        warm_start_config: Any = None,
        strategy_config: Any = None,
        completion_criteria_config: Any = None,
        early_stopping_type: str = "Off",
        estimator_name: str | None = None,
        random_seed: int | None = None,
        autotune: bool = False,
        hyperparameters_to_keep_static: Sequence[str] | None = None,
    ):
        faults: list[Fault] = []
        keep = tuple(hyperparameters_to_keep_static or ())
        self.ranges = ranges.checked(hyperparameter_ranges, faults, fill=autotune, keep=keep)
        if keep and not autotune:
            what = "is for autotune"
            faults.append(Fault("hyperparameters_to_keep_static", what, "give autotune=True, or leave it out"))
        if not isinstance(estimator, SemSegEstimator):
            faults.append(Fault("estimator", f"is {type(estimator).__name__}", "give a SemSegEstimator"))
        if estimator_name is not None:
            faults.append(Fault("estimator_name", "is for several estimators; here there is one", "leave it out"))
        own = metric_definitions or getattr(estimator, "metric_definitions", None)
        self.metric_definitions = [dict(definition) for definition in own or METRIC_DEFINITIONS]
        faults += _metric_faults(objective_metric_name, self.metric_definitions)
        choices = {
            "strategy": (strategy, STRATEGIES),
            "objective_type": (objective_type, ("Maximize", "Minimize")),
            "early_stopping_type": (early_stopping_type, ("Off", "Auto")),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                faults.append(Fault(name, f"is {value!r}", f"one of {', '.join(known)}"))
        counts = {
            "max_jobs": (max_jobs, 1),
            "max_parallel_jobs": (max_parallel_jobs, 1),
            "max_runtime_in_seconds": (max_runtime_in_seconds, 1),
            "random_seed": (random_seed, 0),
        }
        for name, (number, least) in counts.items():
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < least):
                faults.append(Fault(name, f"is {number!r}", f"give a number from {least} on"))
        if faults:
            raise UserError("The tuner can't be made like this:", faults)
        self.estimator, self.objective_metric_name = estimator, objective_metric_name
        self.strategy, self.objective_type = strategy, objective_type
        self.max_jobs = 1 if max_jobs is None and strategy != "Grid" else max_jobs
        self.max_parallel_jobs, self.max_runtime_in_seconds = max_parallel_jobs, max_runtime_in_seconds
        self.tags, self.base_tuning_job_name = tags, base_tuning_job_name
        self.warm_start_config = _request_of(warm_start_config)
        self.strategy_config = _request_of(strategy_config)
        self.completion_criteria_config = _request_of(completion_criteria_config)
        self.early_stopping_type, self.random_seed, self.autotune = early_stopping_type, random_seed, autotune
        self.latest_tuning_job: TuningJob | None = None

    @property
    def sagemaker_session(self) -> Any:
        return self.estimator.sagemaker_session

    def fit(
        self,
        inputs: Any = None,
        job_name: str | None = None,
        include_cls_metadata: bool = False,
        estimator_kwargs: Any = None,
        wait: bool = True,
        **kwargs: Any,
    ) -> None:
        """Run the search.

        Args:
            inputs: As in the estimator's ``fit``.
            job_name: At most 32 characters. On this machine a tuning of this name that has ended, or was stopped or
                killed, continues: finished trials aren't repeated, and a larger ``max_jobs`` adds trials.
            wait: As in the estimator's ``fit``; Ctrl-C stops the trainings and keeps the results.

        Raises:
            UserError: With everything that is wrong, before anything is started.
            JobFailed: No training has succeeded.
        """
        others = {**kwargs, "include_cls_metadata": include_cls_metadata, "estimator_kwargs": estimator_kwargs}
        faults = [Fault(name, "has no meaning here", "leave it out") for name, value in others.items() if value]
        errors = [UserError("fit can't be called like this:", faults)] if faults else []
        spec = self._spec(inputs, job_name or self._new_name(), errors)
        backend = backend_of(self.estimator.instance_type, self.sagemaker_session)
        if found := backend.faults(spec):
            errors.append(UserError(f"It can't run on {self.estimator.instance_type}:", found))
        if errors:
            raise errors[0] if len(errors) == 1 else request_specs.all_of("The tuning can't be started:", errors)
        self.latest_tuning_job = backend.tune(spec, attached=wait)
        print(f"tuning job {spec.name}", file=sys.stderr, flush=True)
        if wait:
            self.latest_tuning_job.wait()

    @classmethod
    def attach(
        cls, tuning_job_name: str, sagemaker_session: Any = None, job_details: Any = None, estimator_cls: Any = None
    ) -> HyperparameterTuner:
        """Return the tuner of a tuning job that any process has started; doesn't wait for its end.

        Args:
            tuning_job_name: The job's.
            estimator_cls: The class of the estimator.
            job_details: Ignored.

        Raises:
            UserError: There is no such job.
        """
        job = find_tuning_job(tuning_job_name, sagemaker_session)
        spec = job.spec()
        arguments = request_specs.arguments_of(spec.training, "model")
        estimator = (estimator_cls or SemSegEstimator)(**arguments, sagemaker_session=sagemaker_session)
        tuner = cls(
            estimator,
            spec.objective_metric_name,
            {},
            list(spec.training.metric_definitions) or None,
            spec.strategy,
            spec.objective_type,
            spec.max_jobs,
            spec.max_parallel_jobs,
            spec.max_runtime_in_seconds,
            base_tuning_job_name=base_from_name(tuning_job_name),
            warm_start_config=spec.warm_start_config,
            strategy_config=spec.strategy_config,
            completion_criteria_config=spec.completion_criteria_config,
            early_stopping_type=spec.early_stopping_type,
            random_seed=spec.random_seed,
        )
        tuner.ranges = dict(spec.ranges)  # as they are: a tuning from elsewhere may search other things
        tuner.latest_tuning_job = job
        return tuner

    def wait(self) -> None:
        """Wait for the end of the tuning, and print its progress. Raises ``JobFailed``."""
        self._job().wait()

    def stop_tuning_job(self) -> None:
        """Stop the tuning; its results so far are kept."""
        self._job().stop()

    def describe(self) -> Mapping[str, Any]:
        """Return the tuning's state, in the form of SageMaker's DescribeHyperParameterTuningJob."""
        return self._job().describe()

    def analytics(self) -> TuningAnalytics:
        """Return the table of the trainings, with their hyperparameters and results."""
        return TuningAnalytics(self._job())

    def best_training_job(self) -> str:
        """Return the name of the training with the best epoch. Raises ``UserError`` if there is none yet."""
        job = self._job()
        best = job.best_training_job()
        if best is None:
            raise UserError(f"No training of {job.name} has come to a {self.objective_metric_name} yet.")
        return best

    def best_estimator(self, best_training_job: Mapping[str, str] | None = None) -> SemSegEstimator:
        """Return the estimator of the best training. best_training_job: v2's mapping with a TrainingJobName."""
        name = best_training_job["TrainingJobName"] if best_training_job else self.best_training_job()
        return type(self.estimator).attach(name, self.sagemaker_session, self.estimator.model_channel_name)

    def deploy(
        self,
        initial_instance_count: int,
        instance_type: str,
        serializer: Any = None,
        deserializer: Any = None,
        accelerator_type: str | None = None,
        endpoint_name: str | None = None,
        wait: bool = True,
        model_name: str | None = None,
        kms_key: str | None = None,
        data_capture_config: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Start an endpoint with the best model; returns its predictor. kwargs: of the estimator's ``deploy``.

        endpoint_name: the best training's name by default, as in v2.
        """
        name = self.best_training_job()
        return self.best_estimator({"TrainingJobName": name}).deploy(
            initial_instance_count,
            instance_type,
            serializer,
            deserializer,
            accelerator_type,
            endpoint_name or name,
            wait=wait,
            model_name=model_name,
            kms_key=kms_key,
            data_capture_config=data_capture_config,
            **kwargs,
        )

    def __repr__(self) -> str:
        job = f", latest_tuning_job={self.latest_tuning_job.name!r}" if self.latest_tuning_job else ""
        return f"HyperparameterTuner({', '.join(self.ranges)}{job})"

    def _job(self) -> TuningJob:
        if self.latest_tuning_job is None:
            raise UserError("This tuner has tuned nothing yet: call fit, or attach to a tuning job.")
        return self.latest_tuning_job

    def _new_name(self) -> str:
        """A name in v2's form, and with seconds: a second tuning of the same name would continue the first."""
        image = self.estimator.image_uri
        base = self.base_tuning_job_name or (base_from_image(image) if image else _DEFAULT_BASE)
        stamp = time.strftime("%y%m%d-%H%M%S", time.gmtime())
        return f"{base[: TUNING_NAME_LENGTH - len(stamp) - 1].rstrip('-')}-{stamp}"

    def _spec(self, inputs: Any, name: str, errors: list[UserError]) -> TuningSpec:
        """The specification of the tuning. errors: gets what is wrong with the trainings."""
        training = TrainingSpec(name, {}, (), self.estimator.instance_type)
        tags: list[Mapping[str, str]] = []
        try:
            training = request_specs.training(self.estimator, inputs, name, None)
        except UserError as error:
            errors.append(error)
        try:
            tags = [*(tag_list(self.tags) or ()), *training.tags]
        except UserError as error:
            errors.append(error)
        return TuningSpec(
            name,
            replace(training, metric_definitions=tuple(self.metric_definitions)),
            self.ranges,
            self.objective_metric_name,
            self.objective_type,
            self.strategy,
            self.max_jobs,
            self.max_parallel_jobs,
            self.max_runtime_in_seconds,
            self.early_stopping_type,
            self.random_seed,
            self.strategy_config,
            self.completion_criteria_config,
            self.warm_start_config,
            [tag for number, tag in enumerate(tags) if tag not in tags[:number]],
        )


Tuner = HyperparameterTuner


def _metric_faults(objective: Any, definitions: Sequence[Mapping[str, str]]) -> list[Fault]:
    names = [definition.get("Name", "") for definition in definitions]
    faults = []
    for definition in definitions:
        try:
            groups = re.compile(definition["Regex"]).groups
            if groups < 1:
                faults.append(Fault("metric_definitions", f"{definition.get('Name')}: the Regex has no group"))
        except (LookupError, re.error, TypeError) as error:
            faults.append(Fault("metric_definitions", f"{str(definition)[:100]} has no Regex that works: {error}"))
    if objective not in names:
        near = {name.lower(): name for name in names}
        found = difflib.get_close_matches(str(objective).lower(), near, n=1)
        remedy = f"did you mean {near[found[0]]}?" if found else f"one of {', '.join(names)}"
        what = f"no metric is called {str(objective)[:100]!r}"
        faults.append(Fault("objective_metric_name", what, remedy))
    return faults


def _request_of(config: Any) -> Mapping[str, Any] | None:
    """A configuration in the form of SageMaker's API; v2's objects have a method for it."""
    found = config.to_input_req() if hasattr(config, "to_input_req") else config
    return dict(found) if found else None
