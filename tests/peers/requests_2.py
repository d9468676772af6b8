"""The same jobs by SageMaker's SDK 2 and by this package: every difference in what is sent is listed here, and wanted.

.envs/sagemaker2/bin/python tests/peers/requests_2.py          (``make test-sagemaker2``)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import requests_recorded as recorded  # noqa: E402

recorded.prepare()

import functools  # noqa: E402

import boto3  # noqa: E402
import moto  # noqa: E402
import sagemaker  # noqa: E402
from sagemaker.async_inference import AsyncInferenceConfig  # noqa: E402
from sagemaker.estimator import Estimator  # noqa: E402
from sagemaker.inputs import ShuffleConfig, TrainingInput  # noqa: E402
from sagemaker.model_monitor import DataCaptureConfig  # noqa: E402
from sagemaker.serverless import ServerlessInferenceConfig  # noqa: E402
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter  # noqa: E402

from sagemaker_semseg.sdk.estimator import SemSegEstimator  # noqa: E402
from sagemaker_semseg.sdk.tuner import Tuner  # noqa: E402

_METRICS = "SageMaker doesn't know the image: the expressions that find our numbers in the log are sent along"
_DEBUGGER = "nothing in the image listens to SageMaker's debugger or profiler"
_RESOURCES = "the older of two forms, which has spot instances and warm pools, too"
_TUNING = "CreateHyperParameterTuningJob.TrainingJobDefinition"
WANTED: dict[str, str] = {
    "CreateTrainingJob.AlgorithmSpecification.MetricDefinitions": _METRICS,
    f"{_TUNING}.AlgorithmSpecification.MetricDefinitions": _METRICS,
    "CreateTrainingJob.DebugHookConfig": _DEBUGGER,
    "CreateTrainingJob.ProfilerConfig": _DEBUGGER,
    "CreateEndpoint.Tags": "an empty list says nothing",
    f"{_TUNING}.HyperParameterTuningResourceConfig": _RESOURCES,
    f"{_TUNING}.ResourceConfig": _RESOURCES,
}

FULL = {
    **recorded.PLAIN, "instance_count": 2, "volume_size": 50, "volume_kms_key": recorded.KEY, "max_run": 3600,
    "output_kms_key": recorded.KEY, "base_job_name": "street", "tags": recorded.TAGS,
    "subnets": ["subnet-1"], "security_group_ids": ["sg-1"], "model_uri": "s3://images/model.tar.gz",
    "metric_definitions": [{"Name": "mine", "Regex": "x"}], "encrypt_inter_container_traffic": True,
    "use_spot_instances": True, "max_wait": 7200, "checkpoint_s3_uri": "s3://images/c",
    "checkpoint_local_path": "/opt/ml/checkpoints", "enable_network_isolation": True, "environment": {"A": "b"},
    "max_retry_attempts": 3, "enable_sagemaker_metrics": True, "disable_output_compression": True,
    "enable_remote_debug": True, "enable_infra_check": True, "container_arguments": ["train"],
    "container_entry_point": ["sagemaker-semseg"], "enable_session_tag_chaining": True,
}  # fmt: skip


def inputs(**settings):
    return {name: TrainingInput(place, **settings) for name, place in recorded.FOUR.items()}


def manifests():
    return {
        name: TrainingInput(
            f"s3://images/{name}.manifest", s3_data_type="AugmentedManifestFile", content_type="image/jpeg",
            record_wrapping="RecordIO", attribute_names=["source-ref", "mask-ref"], shuffle_config=ShuffleConfig(7),
            distribution="FullyReplicated", input_mode="Pipe",
        )
        for name in ("train", "validation")
    }  # fmt: skip


TRAININGS = {
    "a plain training": (recorded.PLAIN, recorded.FOUR),
    "everything that can be said": (
        FULL,
        {**inputs(content_type="image/jpeg", input_mode="FastFile"), "label_map": recorded.FOUR["train"]},
    ),
    "an augmented manifest through the pipe": ({**recorded.PLAIN, "input_mode": "Pipe"}, manifests()),
    "warm instances": (
        {**recorded.PLAIN, "keep_alive_period_in_seconds": 600, "disable_profiler": True}, recorded.FOUR,
    ),
    "the default bucket": ({**recorded.PLAIN, "output_path": None}, recorded.FOUR),
}  # fmt: skip


def main() -> int:
    session = boto3.Session()
    recorder = recorded.Recorder(session)
    boto3.client("s3").create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    theirs_session = sagemaker.Session(boto_session=session)
    capture = functools.partial(DataCaptureConfig, sagemaker_session=theirs_session)
    deployments = recorded.deployments(ServerlessInferenceConfig, AsyncInferenceConfig, capture)
    cases = {}
    for number, (case, (arguments, given)) in enumerate(TRAININGS.items()):
        sent = []
        for kind, with_session in ((Estimator, theirs_session), (SemSegEstimator, session)):
            with recorder.recording() as found:
                estimator = kind(**arguments, hyperparameters=recorded.HYPERPARAMETERS, sagemaker_session=with_session)
                # a name can't be given twice: the stamp is left out of the comparison
                estimator.fit(given, wait=False, job_name=f"job-{len(sent)}{number:013}")
            sent.append(found)
        cases[case] = recorded.differences(*sent)
    for number, (case, arguments) in enumerate(deployments.items()):
        sent = []
        for kind, with_session in ((Estimator, theirs_session), (SemSegEstimator, session)):
            estimator = kind(**recorded.PLAIN, hyperparameters=recorded.HYPERPARAMETERS, sagemaker_session=with_session)
            estimator.fit(recorded.FOUR, wait=False, job_name=f"deployed-{len(sent)}{number:013}")
            with recorder.recording() as found:
                name = f"street-{len(sent)}{number:013}"
                estimator.deploy(**arguments, endpoint_name=name, model_name=name, wait=False)
            sent.append(found)
        cases[case] = recorded.differences(*sent)
    cases["a batch transform"] = transforms(recorder, session, theirs_session)
    cases["a tuning"] = tunings(recorder, session, theirs_session)
    return recorded.report(f"sagemaker {sagemaker.__version__}", cases, WANTED)


def transforms(recorder, session, theirs_session):
    sent = []
    for kind, with_session in ((Estimator, theirs_session), (SemSegEstimator, session)):
        estimator = kind(**recorded.PLAIN, hyperparameters=recorded.HYPERPARAMETERS, sagemaker_session=with_session)
        estimator.fit(recorded.FOUR, wait=False, job_name=f"transformed-{len(sent)}0000000000041")
        with recorder.recording() as found:
            transformer = estimator.transformer(
                1, "ml.c5.xlarge", **recorded.TRANSFORMER, model_name=f"street-{len(sent)}0000000000042"
            )
            name = f"street-{len(sent)}0000000000043"
            transformer.transform("s3://images/new", job_name=name, **recorded.TRANSFORM)
        sent.append(found)
    return recorded.differences(*sent)


def tunings(recorder, session, theirs_session):
    ranges = recorded.ranges(ContinuousParameter, IntegerParameter, CategoricalParameter)
    arguments = {**recorded.PLAIN, "hyperparameters": recorded.HYPERPARAMETERS}
    estimator = Estimator(**arguments, sagemaker_session=theirs_session)
    ours = SemSegEstimator(**arguments, sagemaker_session=session)
    with recorder.recording() as first:
        HyperparameterTuner(
            estimator, "validation:mIOU", ranges, [{"Name": "validation:mIOU", "Regex": "x"}], **recorded.TUNING
        ).fit(recorded.FOUR, job_name="tuning-00000000000051", wait=False)
    with recorder.recording() as second:
        Tuner(ours, "validation:mIOU", ranges, **recorded.TUNING).fit(
            recorded.FOUR, job_name="tuning-00000000000052", wait=False
        )
    return recorded.differences(first, second)


if __name__ == "__main__":
    with moto.mock_aws():
        status = main()
    sys.exit(status)
