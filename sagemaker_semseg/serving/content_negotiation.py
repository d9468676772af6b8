"""Chooses the response format from the Accept header, and checks the Content-Type.

Both happen before a byte of the body is read. The rules are those of RFC 9110, sections 8.3 and 12.5.1, applied
leniently: a part of Accept that can't be parsed is ignored like a type that isn't offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sagemaker_semseg.serving.http_errors import BadRequest, NotAcceptable, UnsupportedMediaType, quote

CONTENT_TYPES = ("image/jpeg", "image/png", "application/x-image", "application/octet-stream")
"""Accepted content types. The bytes decide which format it is. The last one, the default of SageMaker's SDK, means no
more than a missing header (RFC 9110, 8.3)."""

_ALIASES = ("image/jpg", "image/pjpeg")  # no registered names, but written often

MAX_ACCEPT_CHARACTERS = 1024
"""SageMaker's own limit for Accept and Content-Type."""


@dataclass(frozen=True)
class ResponseFormat:
    """A mask ("image/png") or probabilities (the other media types) of a dtype."""

    media_type: str
    dtype: Literal["float32", "float16"] = "float32"

    @property
    def is_mask(self) -> bool:
        return self.media_type == "image/png"

    @property
    def content_type(self) -> str:
        """The response's Content-Type. A .npy file contains its dtype; SageMaker's reader expects the bare name."""
        named = self.dtype != "float32" and self.media_type != "application/x-npy"
        return f"{self.media_type}; dtype={self.dtype}" if named else self.media_type


RESPONSE_FORMATS = (
    ResponseFormat("image/png"),
    ResponseFormat("application/x-recordio-protobuf"),
    ResponseFormat("application/x-protobuf"),
    ResponseFormat("application/x-npy"),
    ResponseFormat("application/x-recordio-protobuf", "float16"),
    ResponseFormat("application/x-protobuf", "float16"),
    ResponseFormat("application/x-npy", "float16"),
)
"""All formats. Of those that a client prefers equally, the earlier is chosen."""


def check_content_type(content_type: str | None) -> None:
    """Raises ``UnsupportedMediaType`` unless the type is missing or one of ``CONTENT_TYPES``."""
    given = (content_type or "").split(";")[0].strip().lower()
    if given and given not in (*CONTENT_TYPES, *_ALIASES):
        expected = ", ".join(CONTENT_TYPES)
        message = f"The body's Content-Type is {quote(given)}; expected is one of {expected}."
        raise UnsupportedMediaType(message, "send the bytes of a JPEG or PNG file, with Content-Type: image/jpeg")


def choose_response_format(accept: str | None, default: str = "image/png") -> ResponseFormat:
    """Returns the format that an Accept header prefers.

    Weights (``q``) decide first; between equal ones a named type precedes a wildcard, and an earlier one a later one.

    Args:
        accept: The header; None where there is none.
        default: An Accept header for requests without one, and for the choice among what a wildcard allows.

    Raises:
        NotAcceptable: No format is acceptable.
        BadRequest: The header is too long.
    """
    preferred = _best(default, RESPONSE_FORMATS[0])
    return _best(accept, preferred) if accept and accept.strip(", \t") else preferred


_MEDIA = re.compile(r"\*/\*|[^*/]+/(\*|[^*/]+)")
_WEIGHT = re.compile(r"0?\.[0-9]+|[01](\.0*)?")  # RFC 9110 wants at most three digits and a 0 before the point

_Specificity = tuple[bool, bool, bool]


@dataclass(frozen=True)
class _MediaRange:
    """One element of an Accept header, in lower case."""

    kind: str
    subtype: str
    dtypes: frozenset[str]
    weight: float

    @property
    def specificity(self) -> _Specificity:
        return (self.subtype != "*", self.kind != "*", bool(self.dtypes))

    def __contains__(self, response_format: ResponseFormat) -> bool:
        kind, subtype = response_format.media_type.split("/")
        # other parameters are ignored, and the mask has none
        fits = response_format.is_mask or self.dtypes <= {response_format.dtype}
        return fits and self.kind in ("*", kind) and self.subtype in ("*", subtype)


def _best(accept: str, preferred: ResponseFormat) -> ResponseFormat:
    if len(accept) > MAX_ACCEPT_CHARACTERS:
        raise BadRequest(f"The Accept header has {len(accept)} characters; at most {MAX_ACCEPT_CHARACTERS} are read.")
    ranges = [found for element in _split(accept, ",") if (found := _range(element))]
    best: tuple[float, _Specificity, int, bool] | None = None
    chosen = preferred
    for offered in RESPONSE_FORMATS:
        covering = [(found.specificity, -place, found.weight) for place, found in enumerate(ranges) if offered in found]
        if not covering:
            continue
        specificity, earliness, weight = max(covering)  # the most specific range decides about a format
        rank = (weight, specificity, earliness, offered == preferred and not specificity[0])
        if weight and (best is None or rank > best):
            best, chosen = rank, offered
    if best is None:
        names = ", ".join(offered.media_type for offered in RESPONSE_FORMATS if offered.dtype == "float32")
        message = f"Accept is {quote(accept)}; there are {names}, and all but the first with dtype=float16 too."
        raise NotAcceptable(message, "ask for one of these, or send no Accept header")
    return chosen


def _range(element: str) -> _MediaRange | None:
    """Parses an element of an Accept header; None where it can't be parsed."""
    media, *parameters = _split(element.lower(), ";") or [""]
    weight, dtypes = "1", set()
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name == "q":
            weight = _unquoted(value)
        elif name == "dtype":
            dtypes.add(_unquoted(value))
    media = "*/*" if media == "*" else media  # as Java's clients send it
    if not _MEDIA.fullmatch(media) or not _WEIGHT.fullmatch(weight):
        return None
    kind, subtype = media.split("/")
    return _MediaRange(kind, subtype, frozenset(dtypes), float(weight))


def _split(text: str, separator: str) -> list[str]:
    """The parts of a list, without blanks around them and without empty ones. Separators in quotes don't count."""
    parts = re.findall(rf'(?:"(?:[^"\\]|\\.)*"|[^{separator}])+', text)
    return [part for part in (part.strip(" \t") for part in parts) if part]


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if re.fullmatch('".*"', value) else value
