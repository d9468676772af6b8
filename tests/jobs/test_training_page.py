"""The Python examples on docs/training.md and in the README do what they say, with a smaller network."""

import re
import shutil
from pathlib import Path

from PIL import Image

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_the_page_s_examples_run(data, tmp_path, monkeypatch, capsys):
    shutil.copytree(data, tmp_path / "mydata")
    (tmp_path / "mydata" / "test").rename(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [line.split()[1] for line in (block.partition("\n")[0] for block in blocks[2:])] == ["mlflow", "wandb"]
    names = {}
    for block in blocks[:2]:
        exec(block.replace("resnet-18", "resnet-tiny"), names)
    assert "validation mIOU" in capsys.readouterr().out
    with Image.open("masks/0000.png") as mask, Image.open("images/0000.jpg") as image:
        assert mask.size == image.size == names["mask"].shape[::-1]
    assert {path.name for path in Path("masks").iterdir()} >= {"0000.png", "0000_overlay.png"}
    assert names["result"].artifact == Path("out/model.tar.gz")
    assert Path("further/model.tar.gz").is_file()


def test_the_readmes_python_runs(data, tmp_path, monkeypatch):
    """With a smaller network on fewer images."""
    block, _ = re.findall(r"```python\n(.*?)```", (PAGE.parents[1] / "README.md").read_text(), re.DOTALL)
    smaller = {
        "resnet-18": "resnet-tiny",
        "crop_size=64, base_size=104": "crop_size=32, base_size=48, mini_batch_size=4",
    }
    for text, instead in {**smaller, "epochs=10": "epochs=1, quiet=True"}.items():
        assert text in block
        block = block.replace(text, instead)
    (tmp_path / "shapes").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(block, scope)
    assert scope["mask"].ndim == 2
    assert (tmp_path / "model" / "report.html").is_file()
