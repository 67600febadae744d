"""The configuration of the world of talking heads."""

from typing import ClassVar, Literal

import attrs

from vs_data.fields import choice, real, whole

MOST_IDENTITIES = 500_000
"""Training identities are numbered from 0, validation identities from here, so that the two never share a person."""


@attrs.frozen(kw_only=True)
class FacesConfig:
    """Talking heads that are made up from a seed: pictures, landmarks, regions and exact flow."""

    kind: ClassVar[str] = "faces"

    height: int = whole(128, "height of the frames, pixels", low=16, high=2048)
    width: int = whole(128, "width of the frames, pixels", low=16, high=2048)
    sequence_length: int = whole(30, "frames of each sequence", low=1, high=3_000)
    train_identities: int = whole(200, "people of the training split", low=1, high=MOST_IDENTITIES)
    val_identities: int = whole(8, "people of the validation split", low=1, high=MOST_IDENTITIES)
    motions: int = whole(2, "sequences of each person, each with a motion of its own", low=1, high=1_000)
    seed: int = whole(0, "which family of people and motions; both splits depend on it", low=0, high=2**63 - 1)
    movement: float = real(1.0, "how far heads turn and move, 0: not at all", low=0.0, high=1.5)
    expression: float = real(1.0, "how much eyes, brows and mouths move, 0: not at all", low=0.0, high=1.25)
    labels: Literal["landmarks", "regions", "both"] = choice(
        "landmarks", "what networks are conditioned on: the landmarks' drawing, ids of regions, or both in this order",
        ("landmarks", "regions", "both"),
    )  # fmt: skip

    def __attrs_post_init__(self) -> None:
        if not 1 / 4 <= self.width / self.height <= 4:
            raise ValueError(
                f"width is {self.width!r}, allowed: a quarter to 4 times the height, which is {self.height!r}"
            )
