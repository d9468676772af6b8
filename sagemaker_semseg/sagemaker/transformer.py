"""``sagemaker.transformer``: batch transform."""

from __future__ import annotations

from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.transformer import SemSegTransformer


class Transformer(SemSegTransformer, not_here.AbsentMethods):
    """``SemSegTransformer``; made by ``estimator.transformer(...)`` or ``Model(...).transformer(...)``."""

    def __init__(self, model_name: Any, *args: Any, **kwargs: Any):
        if isinstance(model_name, str):
            raise UserError(
                f"A transformer of the model {model_name!r} needs its artifact here.\n"
                "Call Model(model_data=...).transformer(...), or estimator.transformer(...)."
            )
        super().__init__(model_name, *args, **kwargs)


__getattr__ = not_here.attribute_of(__name__)
