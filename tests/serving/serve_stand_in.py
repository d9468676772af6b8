"""The server with the stand-in for a model, as a process: its argument has the settings and the limits as JSON."""

import json
import sys
from pathlib import Path

from sagemaker_semseg.errors import SemSegError
from sagemaker_semseg.serving.limits import Limits
from sagemaker_semseg.serving.server import Settings, serve

given = json.loads(sys.argv[1])
try:
    serve(
        Settings(**{**given["settings"], "model": Path("a model")}),
        limits=Limits(**given["limits"]),
        command=(sys.executable, str(Path(__file__).with_name("stand_in.py"))),
    )
except SemSegError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
