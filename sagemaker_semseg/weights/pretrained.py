"""The ImageNet weights that are published for each backbone, as data: a backbone's name in, where its weights can be
had and what is known of their digests out. Called by ``sources`` and the command ``weights``.

timm publishes the reference engine's own backbones, converted by name; GluonCV's own files are read too. The hub's
files are taken from the branch ``main``: their commits and digests are not on record here, so a fetched file is held
against the digest that the hub itself states, and from then on against what was fetched. Digests of the older files
are on record: their names carry the first digits.
"""

from __future__ import annotations

from dataclasses import dataclass

SAFETENSORS = "model.safetensors"


@dataclass(frozen=True)
class Published:
    """A backbone's weights. model: timm's name. sha256: of the hub's file, where it is known."""

    model: str
    pth: str
    params: str
    params_sha1: str
    revision: str = "main"
    sha256: str = ""

    @property
    def file(self) -> str:
        """What the file is called here, in the cache and wherever someone brings it."""
        return f"{self.model}.safetensors"

    @property
    def files(self) -> tuple[str, ...]:
        """Every name under which a folder may hold these weights, the preferred first."""
        return (self.file, self.params, self.pth, SAFETENSORS)

    def url(self, hub: str) -> str:
        return f"{hub}/timm/{self.model}/resolve/{self.revision}/{SAFETENSORS}"

    def digest(self, name: str) -> tuple[str, str] | None:
        """Kind and first digits, or all, of the digest that a file of this name must have."""
        if name == self.params:
            return "sha1", self.params_sha1
        if name == self.pth:
            return "sha256", self.pth.rpartition("-")[2].removesuffix(".pth")
        return ("sha256", self.sha256) if name == self.file and self.sha256 else None


def _published(model: str, gluon: str, pth: str, sha1: str) -> Published:
    return Published(model, f"gluon_{gluon}-{pth}.pth", f"{gluon}-{sha1[:8]}.params", sha1)


PUBLISHED: dict[str, Published] = {
    "resnet-18": _published(
        "resnet18.gluon_in1k", "resnet18_v1b", "0757602b", "2d9d980c990442f826f20781ed039851e78dabe3"
    ),
    "resnet-34": _published(
        "resnet34.gluon_in1k", "resnet34_v1b", "c6d82d59", "8e16b84814e84f64d897854003f049872991eaa6"
    ),
    "resnet-50": _published(
        "resnet50s.gluon_in1k", "resnet50_v1s", "1762acc0", "25a187fa281ddc98afbcd0cc0f0646885b874b80"
    ),
    "resnet-101": _published(
        "resnet101s.gluon_in1k", "resnet101_v1s", "60fe0cc1", "bd93a83c05f709a803b1221aeff0b028e6eebb03"
    ),
    "resnet-152": _published(
        "resnet152s.gluon_in1k", "resnet152_v1s", "dcc41b81", "cf74621d988ad06c6c6aa44f5597e5b600a966cc"
    ),
}
