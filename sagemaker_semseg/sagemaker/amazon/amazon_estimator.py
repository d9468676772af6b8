"""``sagemaker.amazon.amazon_estimator``: the image's address, by SDK 1's function."""

from sagemaker_semseg.sagemaker import image_uris, not_here, renamed


def get_image_uri(region_name: str | None, repo_name: str, repo_version: str = "1") -> str:
    """Return the algorithm's image; SDK 1's name for ``image_uris.retrieve``."""
    renamed.warn_of("The method get_image_uri")
    return image_uris.retrieve(repo_name, region_name, repo_version)


__getattr__ = not_here.attribute_of(__name__)
