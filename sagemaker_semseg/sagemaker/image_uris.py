"""``sagemaker.image_uris``: the address of the algorithm's image."""

from __future__ import annotations

from typing import Any

from sagemaker_semseg.environment import aws_region, image_uri
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.builtin_image import ACCOUNTS, NAME, builtin_image


def retrieve(framework: str, region: str | None = None, version: str | None = None, *args: Any, **kwargs: Any) -> str:
    """Return this package's image if there is one, else that of AWS's built-in algorithm.

    Args:
        framework: "semantic-segmentation".
        region: Of AWS's image; None is that of the environment, else us-east-1.
        version: Ignored: there is one.
        args: SDK 2's other arguments, which mean nothing for this algorithm.
        kwargs: Likewise.

    Returns:
        ``SAGEMAKER_SEMSEG_IMAGE_URI`` if that is set. Jobs on this machine need no image.

    Raises:
        UserError: It is another algorithm, or a region without one.
    """
    faults = []
    if framework != NAME:
        faults.append(Fault("framework", f"is {str(framework)[:100]!r}", f"this package has {NAME} alone"))
    ours, region = image_uri(), region or aws_region()
    if not ours and region not in ACCOUNTS:
        what = f"is {str(region)[:100]!r}, in which AWS has no image of the algorithm"
        faults.append(Fault("region", what, "give a region of SageMaker, or set SAGEMAKER_SEMSEG_IMAGE_URI"))
    if faults:
        raise UserError("There is no image:", faults)
    return ours or builtin_image(region)


__getattr__ = not_here.attribute_of(__name__)
