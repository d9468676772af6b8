"""Makes ``import sagemaker`` mean this namespace in this process, and undoes it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

from sagemaker_semseg.sagemaker.not_here import HERE, ignore_imports, watch_imports
from sagemaker_semseg.sdk.instances import redirect_instances

_THEIRS: Final = "sagemaker"

_before: list[dict[str, ModuleType]] = []
"""The modules that were replaced; empty if none are."""


def replace(instance_type: str | None) -> None:
    """Put the modules of this namespace in the place of AWS's. instance_type: what ``ml.*`` is redirected to."""
    if not _before:
        _before.append(_take_out())
    for name, module in list(sys.modules.items()):
        if name == HERE or name.startswith(f"{HERE}."):
            sys.modules[_THEIRS + name[len(HERE) :]] = module
    watch_imports(_THEIRS)
    redirect_instances(instance_type)


def restore() -> None:
    """Put AWS's modules, if there were any, back into their place."""
    if _before:
        _take_out()
        sys.modules.update(_before.pop())
    ignore_imports(_THEIRS)
    redirect_instances(None)


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == _THEIRS or name.startswith(f"{_THEIRS}.")]
    return {name: sys.modules.pop(name) for name in names}
