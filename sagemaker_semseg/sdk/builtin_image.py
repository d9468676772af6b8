"""Addresses of the image of AWS's own algorithm, which isn't this package's."""

from __future__ import annotations

from typing import Final

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


def builtin_image(region: str) -> str:
    """Return the image of AWS's algorithm in a region of ``ACCOUNTS``."""
    return f"{ACCOUNTS[region]}.dkr.ecr.{region}.{_domain(region)}/{NAME}:1"


def builtin_image_warning(image_uri: str | None) -> str:
    """Return what a job on SageMaker with this image isn't; empty unless the image is AWS's."""
    account, _, rest = str(image_uri).partition(".dkr.ecr.")
    if account not in ACCOUNTS.values() or f"/{NAME}:" not in rest:
        return ""
    return (
        f"{image_uri} is AWS's own algorithm: the job runs that, not this package. For this package's give image_uri= "
        "of an image of yours, or set SAGEMAKER_SEMSEG_IMAGE_URI (docs/aws.md)"
    )


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
