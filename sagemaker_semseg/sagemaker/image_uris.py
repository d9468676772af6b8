"""``sagemaker.image_uris``: the address of the algorithm's image."""

from __future__ import annotations

from typing import Any, Final

from sagemaker_semseg.environment import aws_region, image_uri
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sagemaker import not_here

NAME: Final = "semantic-segmentation"

# region -> the account whose registry has AWS's built-in algorithm: image_uri_config of SDK 2
ACCOUNTS: Final = {
    "af-south-1": "455444449433",
    "ap-east-1": "286214385809",
    "ap-northeast-1": "501404015308",
    "ap-northeast-2": "306986355934",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "991648021394",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "475088953585",
    "ap-southeast-2": "544295431143",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "469771592824",
    "ca-west-1": "190319476487",
    "cn-north-1": "390948362332",
    "cn-northwest-1": "387376663083",
    "eu-central-1": "813361260812",
    "eu-central-2": "680994064768",
    "eu-north-1": "669576153137",
    "eu-south-1": "257386234256",
    "eu-south-2": "104374241257",
    "eu-west-1": "685385470294",
    "eu-west-2": "644912444149",
    "eu-west-3": "749696950732",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "249704162688",
    "sa-east-1": "855470959533",
    "us-east-1": "811284229777",
    "us-east-2": "825641698319",
    "us-gov-east-1": "237065988967",
    "us-gov-west-1": "226302683700",
    "us-iso-east-1": "490574956308",
    "us-isob-east-1": "765400339828",
    "us-isof-east-1": "108575199400",
    "us-isof-south-1": "124985052026",
    "us-west-1": "632365934929",
    "us-west-2": "433757028032",
}


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
    return ours or f"{ACCOUNTS[region]}.dkr.ecr.{region}.{_domain(region)}/{NAME}:1"


def _domain(region: str) -> str:
    for start, domain in _DOMAINS.items():
        if region.startswith(start):
            return domain
    return "amazonaws.com"


_DOMAINS: Final = {
    "cn-": "amazonaws.com.cn",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "us-iso-": "c2s.ic.gov",
}

__getattr__ = not_here.attribute_of(__name__)
