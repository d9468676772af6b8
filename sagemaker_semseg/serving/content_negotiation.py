"""What a request's headers ask for: Content-Type and Accept come in, the ``Reply`` to be made goes out.

Pure functions, called by the application before it reads a byte of the body: a request that can't be answered costs
nothing. The rules are those of RFC 9110, sections 8.3 and 12.5.1, read leniently: a part of Accept that can't be
understood is passed over like a type that isn't offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sagemaker_semseg.serving.http_errors import BadRequest, NotAcceptable, UnsupportedMediaType, shown

REQUESTS = ("image/jpeg", "image/png", "application/x-image", "application/octet-stream")
"""Content types that are taken. The bytes decide which format it is. The last one, which is what SageMaker's SDK sends
unless it's told otherwise, says no more than a missing header (RFC 9110, 8.3)."""

HEADER_CHARACTERS = 1024
"""SageMaker's own limit for Accept and Content-Type."""


@dataclass(frozen=True)
class ResponseFormat:
    """The kind of a reply.

    media_type: "image/png" is the mask, the others are probabilities. dtype: of the probabilities.
    """

    media_type: str
    dtype: Literal["float32", "float16"] = "float32"

    @property
    def is_mask(self) -> bool:
        return self.media_type == "image/png"

    @property
    def content_type(self) -> str:
        """The reply's Content-Type. A .npy file says its dtype itself, and SageMaker's reader wants the bare name."""
        named = self.dtype != "float32" and self.media_type != "application/x-npy"
        return f"{self.media_type}; dtype={self.dtype}" if named else self.media_type


REPLIES = (
    ResponseFormat("image/png"),
    ResponseFormat("application/x-recordio-protobuf"),
    ResponseFormat("application/x-protobuf"),
    ResponseFormat("application/x-npy"),
    ResponseFormat("application/x-recordio-protobuf", "float16"),
    ResponseFormat("application/x-protobuf", "float16"),
    ResponseFormat("application/x-npy", "float16"),
)
"""All there are. Of those that a client likes equally well the earlier is chosen."""


def request_kind(content_type: str | None) -> None:
    """Raises ``UnsupportedMediaType`` unless the type is one of ``REQUESTS``; a missing one is an image's."""
    given = (content_type or "").split(";")[0].strip().lower()
    if given and given not in REQUESTS:
        expected = ", ".join(REQUESTS)
        message = f"The body's Content-Type is {shown(given)}; expected is one of {expected}."
        raise UnsupportedMediaType(message, "send the bytes of a JPEG or PNG file, with Content-Type: image/jpeg")


def choose_reply(accept: str | None, default: str = "image/png") -> ResponseFormat:
    """The reply that an Accept header likes best.

    default: an Accept header too; it decides where there is none, and among what a wildcard allows. Weights (``q``)
    come first; between equal ones a named type goes before a wildcard, and an earlier one in the header before a later.
    Raises ``NotAcceptable`` where nothing that there is will do, ``BadRequest`` for a header that is too long.
    """
    preferred = _best(default, REPLIES[0])
    return _best(accept, preferred) if accept and accept.strip(", \t") else preferred


_MEDIA = re.compile(r"\*/\*|[^*/]+/(\*|[^*/]+)")
_WEIGHT = re.compile(r"0?\.[0-9]+|[01](\.0*)?")  # RFC 9110 wants at most three digits and a 0 before the point

_Specificity = tuple[bool, bool, bool]


@dataclass(frozen=True)
class _Range:
    """One element of an Accept header, in small letters."""

    kind: str
    subtype: str
    dtypes: frozenset[str]
    weight: float

    @property
    def specificity(self) -> _Specificity:
        return (self.subtype != "*", self.kind != "*", bool(self.dtypes))

    def __contains__(self, reply: ResponseFormat) -> bool:
        kind, subtype = reply.media_type.split("/")
        # other parameters are ignored, and the mask has none
        fits = reply.is_mask or self.dtypes <= {reply.dtype}
        return fits and self.kind in ("*", kind) and self.subtype in ("*", subtype)


def _best(accept: str, preferred: ResponseFormat) -> ResponseFormat:
    if len(accept) > HEADER_CHARACTERS:
        raise BadRequest(f"The Accept header has {len(accept)} characters; at most {HEADER_CHARACTERS} are read.")
    ranges = [found for element in _split(accept, ",") if (found := _range(element))]
    best: tuple[float, _Specificity, int, bool] | None = None
    chosen = preferred
    for reply in REPLIES:
        covering = [(found.specificity, -place, found.weight) for place, found in enumerate(ranges) if reply in found]
        if not covering:
            continue
        specificity, earliness, weight = max(covering)  # the most specific range decides about a reply
        rank = (weight, specificity, earliness, reply == preferred and not specificity[0])
        if weight and (best is None or rank > best):
            best, chosen = rank, reply
    if best is None:
        offered = ", ".join(reply.media_type for reply in REPLIES if reply.dtype == "float32")
        message = f"Accept is {shown(accept)}; there are {offered}, and all but the first with dtype=float16 too."
        raise NotAcceptable(message, "ask for one of these, or send no Accept header")
    return chosen


def _range(element: str) -> _Range | None:
    """What an element of an Accept header says; None where it says nothing that can be understood."""
    media, *parameters = _split(element.lower(), ";") or [""]
    weight, dtypes = "1", set()
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name == "q":
            weight = _unquoted(value)
        elif name == "dtype":
            dtypes.add(_unquoted(value))
    media = "*/*" if media == "*" else media  # as Java's clients have sent it
    if not _MEDIA.fullmatch(media) or not _WEIGHT.fullmatch(weight):
        return None
    kind, subtype = media.split("/")
    return _Range(kind, subtype, frozenset(dtypes), float(weight))


def _split(text: str, separator: str) -> list[str]:
    """The parts of a list, without blanks around them and without empty ones. Separators in quotes don't count."""
    parts = re.findall(rf'(?:"(?:[^"\\]|\\.)*"|[^{separator}])+', text)
    return [part for part in (part.strip(" \t") for part in parts) if part]


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if re.fullmatch('".*"', value) else value
