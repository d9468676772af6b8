"""Names of what is started: a base comes in, a name that nothing else has goes out, as the SageMaker Python SDK 2 makes
them: the base, the time, 63 characters at most. The estimator, the model and the transformer call it.
"""

from __future__ import annotations

import re
import time

DEFAULT_BASE = "semantic-segmentation"

MAX_NAME = 63


def name_from_base(base: str, max_length: int = MAX_NAME) -> str:
    """``base-2026-11-25-18-10-33-123``, in UTC."""
    moment = time.time()
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(moment)) + f"-{int(moment * 1000) % 1000:03d}"
    return f"{base[: max_length - len(stamp) - 1].rstrip('-')}-{stamp}"


def base_from_name(name: str) -> str:
    """The base of a name that ``name_from_base`` has made; any other name as it is."""
    found = re.fullmatch(r"(.+)-\d{4}(-\d\d){5}-\d{3}", name)
    return found[1] if found else name


def base_from_image(image_uri: str) -> str:
    """The last part of an image's name, without its tag: what jobs are called if nobody says otherwise."""
    found = re.fullmatch(r"(?:.*/)?([^/:@]+)(?:[:@].*)?", image_uri)
    return found[1] if found else DEFAULT_BASE
