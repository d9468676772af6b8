"""The server with the stand-in for a model, as a process: its argument has the settings and the limits as JSON.

When it is ready, the file ``port`` in the stand-in's folder has its port.
"""

import json
import sys
from pathlib import Path

from sagemaker_semseg.errors import SemSegError
from sagemaker_semseg.serving.limits import Limits
from sagemaker_semseg.serving.server import Settings, serve


def write_port(port: int) -> None:
    Path(given["settings"]["options"]["folder"], "port").write_text(str(port))


given = json.loads(sys.argv[1])
try:
    serve(
        Settings(**{**given["settings"], "model": Path("a model")}),
        write_port,
        limits=Limits(**given["limits"]),
        command=(sys.executable, str(Path(__file__).with_name("stand_in.py"))),
    )
except SemSegError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
