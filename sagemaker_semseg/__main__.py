"""``python -m sagemaker_semseg`` is the command ``sagemaker-semseg``."""

import sys

from sagemaker_semseg.cli import main

sys.exit(main())
