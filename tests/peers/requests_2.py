"""The same jobs by SageMaker's SDK 2 and by this package: every difference in what is sent is listed here, and wanted.

.envs/sagemaker2/bin/python tests/peers/requests_2.py          (``make test-sagemaker2``)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import requests_recorded as recorded  # noqa: E402

recorded.prepare()

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

PLAIN = {
    "image_uri": recorded.IMAGE, "role": recorded.ROLE, "instance_count": 1, "instance_type": "ml.g5.xlarge",
    "output_path": "s3://images/out",
}  # fmt: skip
HYPERPARAMETERS = {
    "num_classes": 21, "use_pretrained_model": True, "learning_rate": 0.0001, "algorithm": "fcn", "epochs": "10",
}  # fmt: skip
FULL = {
    **PLAIN, "instance_count": 2, "volume_size": 50, "volume_kms_key": recorded.KEY, "max_run": 3600,
    "output_kms_key": recorded.KEY, "base_job_name": "street", "tags": [{"Key": "team", "Value": "streets"}],
    "subnets": ["subnet-1"], "security_group_ids": ["sg-1"], "model_uri": "s3://images/model.tar.gz",
    "metric_definitions": [{"Name": "mine", "Regex": "x"}], "encrypt_inter_container_traffic": True,
    "use_spot_instances": True, "max_wait": 7200, "checkpoint_s3_uri": "s3://images/c",
    "checkpoint_local_path": "/opt/ml/checkpoints", "enable_network_isolation": True, "environment": {"A": "b"},
    "max_retry_attempts": 3, "enable_sagemaker_metrics": True, "disable_output_compression": True,
    "enable_remote_debug": True, "enable_infra_check": True, "container_arguments": ["train"],
    "container_entry_point": ["sagemaker-semseg"], "enable_session_tag_chaining": True,
}  # fmt: skip
FOUR = {name: f"s3://images/set/{name}" for name in recorded.NAMES}


def inputs(**settings):
    return {name: TrainingInput(place, **settings) for name, place in FOUR.items()}


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
    "a plain training": (PLAIN, FOUR),
    "everything that can be said": (
        FULL,
        {**inputs(content_type="image/jpeg", input_mode="FastFile"), "label_map": FOUR["train"]},
    ),
    "an augmented manifest through the pipe": ({**PLAIN, "input_mode": "Pipe"}, manifests()),
    "warm instances": ({**PLAIN, "keep_alive_period_in_seconds": 600, "disable_profiler": True}, FOUR),
    "the default bucket": ({**PLAIN, "output_path": None}, FOUR),
}  # fmt: skip

DEPLOYMENTS = {
    "a real-time endpoint": {"initial_instance_count": 1, "instance_type": "ml.c5.xlarge"},
    "a real-time endpoint with everything": {
        "initial_instance_count": 2, "instance_type": "ml.c5.xlarge", "kms_key": recorded.KEY, "volume_size": 64,
        "model_data_download_timeout": 600, "container_startup_health_check_timeout": 300,
        "tags": [{"Key": "team", "Value": "streets"}],
    },
    "a serverless endpoint": {"serverless_inference_config": ServerlessInferenceConfig(4096, 2)},
    "an asynchronous endpoint": {
        "initial_instance_count": 1, "instance_type": "ml.c5.xlarge",
        "async_inference_config": AsyncInferenceConfig("s3://images/a", 4, recorded.KEY, failure_path="s3://images/f"),
    },
}  # fmt: skip


def main() -> int:
    session = boto3.Session()
    recorder = recorded.Recorder(session)
    boto3.client("s3").create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    theirs_session = sagemaker.Session(boto_session=session)
    DEPLOYMENTS["capture of data"] = {
        "initial_instance_count": 1, "instance_type": "ml.c5.xlarge",
        "data_capture_config": DataCaptureConfig(
            True, 50, "s3://images/d", recorded.KEY, sagemaker_session=theirs_session
        ),
    }  # fmt: skip
    cases = {}
    for number, (case, (arguments, given)) in enumerate(TRAININGS.items()):
        sent = []
        for kind, with_session in ((Estimator, theirs_session), (SemSegEstimator, session)):
            with recorder.recording() as found:
                estimator = kind(**arguments, hyperparameters=HYPERPARAMETERS, sagemaker_session=with_session)
                # a name can't be given twice: the stamp is left out of the comparison
                estimator.fit(given, wait=False, job_name=f"job-{len(sent)}{number:013}")
            sent.append(found)
        cases[case] = recorded.differences(*sent)
    for number, (case, arguments) in enumerate(DEPLOYMENTS.items()):
        sent = []
        for kind, with_session in ((Estimator, theirs_session), (SemSegEstimator, session)):
            estimator = kind(**PLAIN, hyperparameters=HYPERPARAMETERS, sagemaker_session=with_session)
            estimator.fit(FOUR, wait=False, job_name=f"deployed-{len(sent)}{number:013}")
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
        estimator = kind(**PLAIN, hyperparameters=HYPERPARAMETERS, sagemaker_session=with_session)
        estimator.fit(FOUR, wait=False, job_name=f"transformed-{len(sent)}0000000000041")
        with recorder.recording() as found:
            transformer = estimator.transformer(
                1, "ml.c5.xlarge", strategy="SingleRecord", assemble_with="None", output_path="s3://images/masks",
                output_kms_key=recorded.KEY, accept="image/png", env={"A": "b"}, max_concurrent_transforms=2,
                max_payload=10, tags=[{"Key": "team", "Value": "streets"}], volume_kms_key=recorded.KEY,
                model_name=f"street-{len(sent)}0000000000042",
            )  # fmt: skip
            transformer.transform(
                "s3://images/new", content_type="image/jpeg", split_type="None", wait=False,
                job_name=f"street-{len(sent)}0000000000043", model_client_config={"InvocationsMaxRetries": 1},
            )  # fmt: skip
        sent.append(found)
    return recorded.differences(*sent)


def tunings(recorder, session, theirs_session):
    ranges = {
        "learning_rate": ContinuousParameter(1e-4, 1e-1, "Logarithmic"),
        "mini_batch_size": IntegerParameter(4, 32),
        "optimizer": CategoricalParameter(["sgd", "adam"]),
    }
    arguments = {**PLAIN, "hyperparameters": HYPERPARAMETERS}
    settings = {"max_jobs": 20, "max_parallel_jobs": 4, "early_stopping_type": "Auto", "random_seed": 1}
    estimator = Estimator(**arguments, sagemaker_session=theirs_session)
    ours = SemSegEstimator(**arguments, sagemaker_session=session)
    with recorder.recording() as first:
        HyperparameterTuner(
            estimator, "validation:mIOU", ranges, [{"Name": "validation:mIOU", "Regex": "x"}], **settings
        ).fit(FOUR, job_name="tuning-00000000000051", wait=False)
    with recorder.recording() as second:
        Tuner(ours, "validation:mIOU", ranges, **settings).fit(FOUR, job_name="tuning-00000000000052", wait=False)
    return recorded.differences(first, second)


if __name__ == "__main__":
    with moto.mock_aws():
        status = main()
    sys.exit(status)
