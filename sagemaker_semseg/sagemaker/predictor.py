"""``sagemaker.predictor``: the predictor with SDK 2's defaults and old spellings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.sagemaker import not_here, renamed
from sagemaker_semseg.sdk.deserializers import BytesDeserializer, Deserializer
from sagemaker_semseg.sdk.predictor import SemSegPredictor
from sagemaker_semseg.sdk.serializers import Serializer


class Predictor(SemSegPredictor, not_here.AbsentMethods):
    """``SemSegPredictor`` that returns the reply's bytes, as SDK 2's does, unless it has another deserializer."""

    def __init__(
        self,
        endpoint_name: str | None = None,
        sagemaker_session: Any = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        component_name: str | None = None,
        **kwargs: Any,
    ):
        old = renamed.with_new_names(kwargs, {"endpoint": "endpoint_name"})
        name = str(old.pop("endpoint_name", endpoint_name))
        content_type, accept = old.pop("content_type", None), old.pop("accept", None)
        if old:
            raise TypeError(f"Predictor() got an unexpected keyword argument {next(iter(old))!r}")
        super().__init__(name, sagemaker_session, serializer, deserializer or BytesDeserializer(), component_name)
        self._content_type: Any = content_type
        self._accept: Any = accept

    @property
    def content_type(self) -> Any:
        """The Content-Type of requests."""
        return self._content_type or super().content_type

    @content_type.setter
    def content_type(self, value: str) -> None:
        renamed.warn_of("The content_type attribute")
        self._content_type = value

    @property
    def accept(self) -> Any:
        """The content types to ask for."""
        return self._accept or super().accept

    @accept.setter
    def accept(self, value: str) -> None:
        renamed.warn_of("The accept attribute")
        self._accept = value

    @property
    def endpoint(self) -> Any:
        """The endpoint's name, as in SDK 1."""
        renamed.warn_of("The endpoint attribute")
        return self.endpoint_name

    def predict(  # type: ignore[override]  # SDK 2's order: initial_args comes second
        self,
        data: Any,
        initial_args: Mapping[str, Any] | str | None = None,
        target_model: str | None = None,
        target_variant: str | None = None,
        inference_id: str | None = None,
        custom_attributes: str | None = None,
        component_name: str | None = None,
        accept: str | None = None,
    ) -> Any:
        """Send an image and return the reply as the deserializer reads it.

        Args:
            data: What the serializer takes.
            initial_args: Arguments of boto3's ``invoke_endpoint``; they override all others.
            target_model: Refused: an endpoint serves one model.
            target_variant: As in SDK 2.
            inference_id: As in SDK 2.
            custom_attributes: As in SDK 2.
            component_name: As in SDK 2.
            accept: Another content type than the deserializer's.

        Raises:
            InvocationFailed: The endpoint refused the request; the message has its answer.
        """
        if isinstance(initial_args, str):
            initial_args, accept = None, initial_args
        return super().predict(
            data, accept, initial_args, target_model, target_variant, inference_id, custom_attributes, component_name
        )


class RealTimePredictor(Predictor):
    """SDK 1's name for ``Predictor``."""

    def __init__(self, *args: Any, **kwargs: Any):
        renamed.warn_of("The class RealTimePredictor")
        super().__init__(*args, **kwargs)


__getattr__ = not_here.attribute_of(__name__)
