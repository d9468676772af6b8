"""The predictor: sends images to an endpoint and returns labels or probabilities.

Names, order and defaults are those of the SageMaker Python SDK 2's ``Predictor``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sagemaker_semseg.sdk.backends import find_endpoint
from sagemaker_semseg.sdk.deserializers import RECORDIO, ArrayDeserializer, Deserializer
from sagemaker_semseg.sdk.serializers import ImageSerializer, Serializer
from sagemaker_semseg.sdk.specs import Endpoint

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image


class SemSegPredictor:
    """A client of an endpoint on this machine, started by any process, or on SageMaker.

    Args:
        endpoint_name: The endpoint's.
        sagemaker_session: Where to look for an endpoint that isn't of this machine.
        serializer: Any object with SDK 2's protocol; by default images of all kinds are taken. May be replaced any
            time.
        deserializer: Likewise; by default arrays are returned.

    Example:
        predictor = SemSegPredictor("my-endpoint")
        labels = predictor.predict("street.jpg")                   # (H, W) uint8
        probabilities = predictor.predict_proba("street.jpg")      # (C, H, W) float32
        predictor.overlay("street.jpg").save("overlay.png")
    """

    def __init__(
        self,
        endpoint_name: str,
        sagemaker_session: Any = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        component_name: str | None = None,
    ):
        self.endpoint_name = endpoint_name
        self.sagemaker_session = sagemaker_session
        self.component_name = component_name
        self.serializer: Serializer = serializer or ImageSerializer()
        self.deserializer: Deserializer = deserializer or ArrayDeserializer()
        self._endpoint: Endpoint | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, sagemaker_session: Any = None, **more: Any) -> SemSegPredictor:
        """Return the predictor of an endpoint that was just started."""
        predictor = cls(endpoint.name, sagemaker_session, **more)
        predictor._endpoint = endpoint
        return predictor

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint, found on first use. Raises ``UserError`` if there is none of the name."""
        return self._found()

    def _found(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = find_endpoint(self.endpoint_name, self.sagemaker_session)
        return self._endpoint

    @property
    def content_type(self) -> Any:
        """The Content-Type of requests."""
        return self.serializer.CONTENT_TYPE

    @property
    def accept(self) -> Any:
        """The content types to ask for."""
        return self.deserializer.ACCEPT

    def predict(
        self,
        data: Any,
        accept: str | None = None,
        initial_args: Mapping[str, Any] | None = None,
        target_model: str | None = None,
        target_variant: str | None = None,
        inference_id: str | None = None,
        custom_attributes: str | None = None,
        component_name: str | None = None,
    ) -> Any:
        """Send an image and return the reply as the deserializer reads it: by default labels (H, W) uint8.

        Args:
            data: What the serializer takes: by default the bytes or the path of a JPEG or PNG, a PIL image, or an
                (H, W, 3) uint8 array.
            initial_args: Arguments of boto3's ``invoke_endpoint``; they override all others.
            accept: Another content type than the deserializer's; "application/x-recordio-protobuf" gives probabilities
                (C, H, W) float32.

        Raises:
            InvocationFailed: The endpoint refused the request; the message has its answer.
        """
        if isinstance(accept, Mapping):  # in the SageMaker Python SDK this is the second argument
            accept, initial_args = None, accept
        return self._ask(
            self.serializer,
            self.deserializer,
            data,
            {
                "ContentType": _one(self.content_type),
                "Accept": accept or _one(self.accept),
                "TargetModel": target_model,
                "TargetVariant": target_variant,
                "InferenceId": inference_id,
                "CustomAttributes": custom_attributes,
                "InferenceComponentName": component_name or self.component_name,
            },
            initial_args,
        )

    def predict_proba(
        self, data: Any, initial_args: Mapping[str, Any] | None = None, **more: Any
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities, (C, H, W) float32, whatever the deserializer is. data: as in ``predict``."""
        arguments = {_ARGUMENTS[name]: value for name, value in more.items()}
        answer: npt.NDArray[np.float32] = self._ask(
            self.serializer, ArrayDeserializer(RECORDIO), data, arguments, initial_args
        )
        return answer

    def overlay(self, data: Any, labels: npt.NDArray[np.uint8] | None = None, opacity: float = 0.6) -> Image:
        """Return the image with its labels laid over it in colors, as a PIL image.

        data: as in ``predict``, for any serializer that sends the image's own bytes. labels: (H, W) uint8; by default
        the endpoint predicts them.
        """
        from PIL.Image import fromarray

        from sagemaker_semseg.data.images import decode_image
        from sagemaker_semseg.data.labels import IGNORE
        from sagemaker_semseg.data.overlay import overlay

        body = ImageSerializer().serialize(data)
        if labels is None:
            labels = self._ask(ImageSerializer(), ArrayDeserializer(), body, {}, None)
        return fromarray(overlay(decode_image(body), labels, IGNORE, opacity))

    def delete_endpoint(self, delete_endpoint_config: bool = True) -> None:
        """Delete the endpoint. delete_endpoint_config: also its configuration on SageMaker."""
        self._found().delete(config=delete_endpoint_config)

    def delete_predictor(self, wait: bool = False) -> None:
        """Delete the endpoint; the same as ``delete_endpoint``."""
        self.delete_endpoint()

    def delete_model(self) -> None:
        """Delete the endpoint's model on SageMaker; the artifact stays."""
        self._found().delete_model()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint_name!r})"

    def _ask(
        self,
        serializer: Serializer,
        deserializer: Deserializer,
        data: Any,
        given: Mapping[str, Any],
        initial_args: Mapping[str, Any] | None,
    ) -> Any:
        """Send one request. ``initial_args`` overrides ``given``, as in the SageMaker Python SDK."""
        said = {name: value for name, value in given.items() if value is not None}
        arguments = {
            "EndpointName": self.endpoint_name,
            "ContentType": _one(serializer.CONTENT_TYPE),
            "Accept": _one(deserializer.ACCEPT),
            **said,
            **dict(initial_args or {}),
            "Body": serializer.serialize(data),
        }
        reply = self._found().invoke(arguments)
        return deserializer.deserialize(reply.body, reply.content_type)


_ARGUMENTS = {
    "target_model": "TargetModel",
    "target_variant": "TargetVariant",
    "inference_id": "InferenceId",
    "custom_attributes": "CustomAttributes",
    "component_name": "InferenceComponentName",
}


def _one(types: Any) -> str:
    """Return a content type, or several of them joined as in a header."""
    return types if isinstance(types, str) else ", ".join(types)
