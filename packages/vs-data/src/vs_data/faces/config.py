"""The configuration of the world of talking heads."""

from typing import ClassVar, Literal

import attrs
from vs_config import Check, check_fields, choice, real, whole

from vs_data.procedural.fields import aspect_up_to
from vs_data.procedural.film import MAX_IDENTITIES


@attrs.frozen(kw_only=True)
class FacesConfig:
    """Talking heads that are made up from a seed: pictures, landmarks, regions and exact flow."""

    kind: ClassVar[str] = "faces"

    height: int = whole(128, "height of the frames", low=16, high=2048, unit="pixels")
    width: int = whole(128, "width of the frames", low=16, high=2048, unit="pixels")
    sequence_length: int = whole(30, "length of each sequence", low=1, high=3_000, unit="frames")
    train_identities: int = whole(200, "people of the training split", low=1, high=MAX_IDENTITIES)
    val_identities: int = whole(8, "people of the validation split", low=1, high=MAX_IDENTITIES)
    motions: int = whole(2, "sequences of each person, each with a motion of its own", low=1, high=1_000)
    seed: int = whole(0, "which family of people and motions; both splits depend on it", low=0, high=2**63 - 1)
    movement: float = real(1.0, "how far heads turn and move, 0: not at all", low=0.0, high=1.5)
    expression: float = real(1.0, "how much eyes, brows and mouths move, 0: not at all", low=0.0, high=1.25)
    labels: Literal["landmarks", "regions", "both"] = choice(
        "landmarks", "what networks are conditioned on: the landmarks' drawing, ids of regions, or both in this order",
        ("landmarks", "regions", "both"),
    )  # fmt: skip

    CHECKS: ClassVar[tuple[Check, ...]] = (aspect_up_to(4),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)
