"""``sagemaker.utils``: unique names of jobs."""

import secrets
import time

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.names import base_from_image as base_name_from_image
from sagemaker_semseg.sdk.names import base_from_name as base_from_name
from sagemaker_semseg.sdk.names import name_from_base as name_from_base

__all__ = ["base_from_name", "base_name_from_image", "name_from_base", "name_from_image", "unique_name_from_base"]


def name_from_image(image: str, max_length: int = 63) -> str:
    """Return a unique name that begins with an image's."""
    return name_from_base(base_name_from_image(image), max_length)


def unique_name_from_base(base: str, max_length: int = 63) -> str:
    """Return a name that begins with ``base`` and ends with the seconds and four random digits."""
    end = f"-{int(time.time())}-{secrets.token_hex(2)}"
    return base[: max_length - len(end)] + end


__getattr__ = not_here.attribute_of(__name__)
