"""The configuration of the world of dancers."""

from typing import ClassVar, Literal, TypeAlias, get_args

import attrs
from vs_config import Check, check_fields, choice, real, whole

from vs_data.procedural.fields import aspect_up_to
from vs_data.procedural.film import MAX_IDENTITIES

Labels: TypeAlias = Literal["keypoints", "densepose", "parts", "poses", "all"]


@attrs.frozen(kw_only=True)
class DancersConfig:
    """Dancing figures that are made up from a seed: pictures, keypoints, parts of the body and exact flow."""

    kind: ClassVar[str] = "dancers"

    height: int = whole(128, "height of the frames", low=16, high=2048, unit="pixels")
    width: int = whole(128, "width of the frames", low=16, high=2048, unit="pixels")
    sequence_length: int = whole(30, "length of each sequence", low=1, high=3_000, unit="frames")
    train_identities: int = whole(200, "people of the training split", low=1, high=MAX_IDENTITIES)
    val_identities: int = whole(8, "people of the validation split", low=1, high=MAX_IDENTITIES)
    motions: int = whole(2, "sequences of each person, each with a dance of its own", low=1, high=1_000)
    seed: int = whole(0, "which family of people and dances; both splits depend on it", low=0, high=2**63 - 1)
    person: int | None = whole(
        None,
        "number of the person who dances everything, in both splits, whose dances differ; none: each their own",
        low=0,
        high=2 * MAX_IDENTITIES,
        optional=True,
    )
    movement: float = real(1.0, "how far people move, 0: not at all", low=0.0, high=1.25)
    labels: Labels = choice(
        "poses",
        "what networks are conditioned on: the drawing of 25 keypoints; part of the body and place on it; ids of the "
        "parts; densepose and keypoints (poses), as published; or densepose, keypoints and parts",
        get_args(Labels),
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (aspect_up_to(4),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)
