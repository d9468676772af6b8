"""Every code block of the README and docs/ is run, or a reason is given; every command has flags that exist.

A block without a language, or one that nothing below accounts for, fails.
"""

import argparse
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from sagemaker_semseg.cli import main, parser
from sagemaker_semseg.data.demo_dataset import make_demo_set

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# what runs the Python blocks of a page, in their order; "here" is this file
PYTHON = {
    "README.md": ["tests/jobs/test_training_page.py", "tests/sagemaker/test_pages.py"],
    "aws.md": ["needs an account; tests/sdk/remote/test_life.py sends the same calls to moto", "here"],
    "check.md": ["here"],
    "distributed.md": [
        "needs an account; tests/sdk/requests/test_training.py makes such a request",
        "trains on two hosts; tests/sdk/local/test_several_hosts.py does the same",
    ],
    "export.md": ["tests/cli/test_export.py"],
    "export_onnx.md": ["tests/export/test_export_pages.py"],
    "export_openvino.md": ["tests/export/test_export_pages.py"],
    "export_tensorflow.md": ["tests/export/test_export_pages.py"],
    "export_tflite.md": ["tests/export/test_export_pages.py"],
    "export_torch.md": ["tests/export/test_export_pages.py"],
    "inference.md": ["here"],
    "notebooks.md": ["tests/sagemaker/test_pages.py"] * 3 + ["tests/peers/recipe_2.py"],
    "pipe.md": ["trains through FIFOs; tests/examples/test_examples.py runs the same as a script"],
    "sdk.md": ["tests/sagemaker/test_pages.py"] * 4,
    "serving.md": ["needs an endpoint; make test-clients sends the same requests"],
    "training.md": ["tests/jobs/test_training_page.py"] * 2 + ["needs mlflow", "needs wandb"],
    "tuning.md": ["tests/sdk/local/test_tuner.py"],
    "weights.md": ["needs MXNet; make test-gluoncv loads the same file"],
}
# commands of this package that are run here, in a folder that has what the pages assume
RUN = {"check", "predict", "buckets"}
# and those of which only the flags are checked
NOT_RUN = {
    "benchmark": "takes minutes; tests/cli/test_benchmark.py",
    "convert": "needs the other program's files; tests/convert and tests/cli/test_convert.py",
    "demo": "trains; tests/cli/test_demo.py",
    "env": "loads TensorFlow; tests/cli/test_env.py",
    "evaluate": "loads TensorFlow; tests/cli/test_evaluate.py",
    "export": "loads TensorFlow; tests/cli/test_export.py",
    "import": "needs a model of AWS's algorithm; tests/cli/test_import.py",
    "jobs": "needs jobs; tests/cli/test_jobs.py",
    "launch": "trains; tests/cli/test_launch.py",
    "quantize": "takes minutes; tests/cli/test_quantize.py",
    "report": "needs a job's folder; tests/cli/test_report.py",
    "serve": "runs until it is stopped; tests/cli/test_serve.py",
    "train": "trains; tests/cli/test_train.py",
    "weights": "downloads; tests/cli/test_weights.py",
}
# the set here has four classes
STAND_INS = {"3": "4", "2": "4", "11": "4", "21": "4", "camvid": "mydata", "voc": "mydata"}
# programs that are not run
OTHERS = {
    "aws": "needs an account",
    "cd": "the shell's",
    "cp": "the job folder of docs/container.md; tests/container",
    "curl": "needs an endpoint; tests/serving",
    "docker": "needs Docker; make test-docker",
    "echo": "the job folder of docs/container.md; tests/container",
    "exit": "the shell's",
    "export": "the shell's",
    "head": "the shell's",
    "jq": "tests/cli/test_check.py reads the same JSON",
    "make": "the targets exist; tests/test_habits.py",
    "mv": "needs the downloaded set, as tar; tests/convert/test_folders.py has the layouts",
    "tar": "needs the downloaded set",
    "mkdir": "the job folder of docs/container.md; tests/container",
    "npm": "downloads; make test-page",
    "python3": "serves until it is stopped",
    "pip": "installs; make test-wheel",
    "srun": "needs Slurm",
    "torchrun": "needs PyTorch; tests/cli/test_launch.py sets its variables",
    "tensorboard": "its package isn't installed; tests/training/test_tensorboard.py reads the files",
}


def blocks(page):
    return BLOCK.findall(page.read_text())


def commands(text):
    """Split a block for the shell into commands, each a list of words, without what comes after ``>`` and ``2>``."""
    found = []
    for line in re.sub(r"\w+=\$\((.*)\)", r"\1", text.replace("\\\n", " ")).splitlines():
        words = []
        for word in [*shlex.split(line, comments=True), "|"]:
            if word in ("|", "||"):
                found.append(words)
                words = []
            elif words or not re.match(r"\w+=", word):
                words.append(word)
    redirected = [next((n for n, word in enumerate(words) if word in (">", "2>")), len(words)) for words in found]
    return [words[:end] for words, end in zip(found, redirected, strict=True) if words]


SHELL = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words)[:70]}")
    for page in PAGES
    for language, text in blocks(page)
    if language == "sh"
    for words in commands(text)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_language_and_json_is_json(page):
    for language, text in blocks(page):
        assert language in {"sh", "python", "json", "text", "yaml", "cpp", "js"}, (
            text
        )  # of the last two, tests/export and tests/browser
        if language == "json" and "..." not in text and page.name != "data.md":  # tests/test_docs.py reads those
            json.loads(text)
    assert len(blocks(page)) == len(re.findall("^```", page.read_text(), re.MULTILINE)) / 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_are_accounted_for(page):
    found = [text for language, text in blocks(page) if language == "python"]
    reasons = PYTHON.get(page.name, [])
    assert len(found) == len(reasons)
    for reason in reasons:
        for path in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / path).is_file()


@pytest.fixture
def folder(small_model, tmp_path, monkeypatch):
    """What the pages assume: data, models, images."""
    make_demo_set(tmp_path / "mydata", train=2, validation=2, test=2, size=32)
    images = sorted((tmp_path / "mydata" / "test").glob("*.jpg"))
    for name in ("image.jpg", "new1.jpg", "new2.jpg"):
        shutil.copy(images[0], tmp_path / name)
    shutil.copytree(tmp_path / "mydata" / "test", tmp_path / "images")
    (tmp_path / "model").mkdir()
    for name in ("model/model.tar.gz", "model.tar.gz"):
        shutil.copy(small_model, tmp_path / name)
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", SHELL)
def test_a_command_is_one(words, request, capsys):
    program, *arguments = words
    if program != "sagemaker-semseg":
        assert OTHERS[program]
        return
    if arguments[:1] in (["--help"], ["--version"], ["--print-completion"]) or "--help" in arguments:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        return
    name = arguments[0]
    if arguments == ["train"]:  # in a container the channels and flags come from files
        return
    options = parser.parse(arguments)
    assert isinstance(options, argparse.Namespace)
    assert options.faults == []
    assert (name in RUN) != (name in NOT_RUN)
    if name in RUN and not any(word.startswith("s3://") for word in arguments) and "empty" not in arguments:
        request.getfixturevalue("folder")
        # check warns of the set's two images
        status = main([STAND_INS.get(word, word) for word in arguments])
        assert status in ((0, 1) if name == "check" else (0,)), capsys.readouterr().err


def run(page, number, scope):
    exec([text for language, text in blocks(ROOT / "docs" / page) if language == "python"][number], scope)
    return scope


def test_the_python_on_the_page_of_inference(folder):
    scope = run("inference.md", 0, {})
    assert scope["labels"].shape == scope["probabilities"].shape[1:]


def test_the_python_on_the_page_of_checks(folder, capsys):
    scope = run("check.md", 0, {})
    assert len(capsys.readouterr().out.splitlines()) >= len(scope["report"].errors) > 0


def test_the_channel_on_the_page_of_aws():
    run("aws.md", 1, {})
