"""The Python examples on docs/training.md do what the page says, with a smaller network."""

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
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block.replace("resnet-18", "resnet-tiny"), names)
    assert "validation mIOU" in capsys.readouterr().out
    with Image.open("masks/0000.png") as mask, Image.open("images/0000.jpg") as image:
        assert mask.size == image.size == names["mask"].shape[::-1]
    assert {path.name for path in Path("masks").iterdir()} >= {"0000.png", "0000_overlay.png"}
    assert names["result"].artifact == Path("out/model.tar.gz")
    assert Path("further/model.tar.gz").is_file()
