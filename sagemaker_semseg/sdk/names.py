"""Makes unique names as the SageMaker Python SDK 2 does: a base and the time, at most 63 characters."""

from __future__ import annotations

import re
import time

DEFAULT_BASE = "semantic-segmentation"

MAX_NAME = 63


def name_from_base(base: str, max_length: int = MAX_NAME) -> str:
    """Return ``base-2026-11-25-18-10-33-123``, in UTC."""
    moment = time.time()
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(moment)) + f"-{int(moment * 1000) % 1000:03d}"
    return f"{base[: max_length - len(stamp) - 1].rstrip('-')}-{stamp}"


def base_from_name(name: str) -> str:
    """Return the base of a name that ``name_from_base`` made; any other name unchanged."""
    found = re.fullmatch(r"(.+)-\d{4}(-\d\d){5}-\d{3}", name)
    return found[1] if found else name


def base_from_image(image_uri: str) -> str:
    """Return the last part of an image's name, without its tag: the default name of jobs."""
    found = re.fullmatch(r"(?:.*/)?([^/:@]+)(?:[:@].*)?", image_uri)
    return found[1] if found else DEFAULT_BASE
