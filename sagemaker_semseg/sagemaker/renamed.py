"""Spellings of SDK 1 that SDK 2 still takes, with its warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

_PAGE: Final = "https://sagemaker.readthedocs.io/en/stable/v2.html"

OF_ESTIMATOR: Final = {
    "train_instance_count": "instance_count",
    "train_instance_type": "instance_type",
    "train_max_run": "max_run",
    "train_use_spot_instances": "use_spot_instances",
    "train_max_wait": "max_wait",
    "train_volume_size": "volume_size",
    "train_volume_kms_key": "volume_kms_key",
    "image_name": "image_uri",
}


def warn_of(phrase: str, *, calls: int = 1) -> None:
    """Warn in SDK 2's words, at the notebook's line. calls: how many calls of this package lead from there to here."""
    message = f"{phrase} has been renamed in sagemaker>=2.\nSee: {_PAGE} for details."
    warnings.warn(message, DeprecationWarning, stacklevel=2 + calls)


def with_new_names(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a constructor's arguments under their names of SDK 2; warns of each old one."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in names:
            warn_of(name, calls=2)
        found[names.get(name, name)] = value
    return found
