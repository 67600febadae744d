"""A small tree of configuration classes with everything that the real one has, and more."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import attrs
from attrs.validators import ge, in_
from vs_config import Check, Problem, check_fields, choice, real, table, whole


@attrs.frozen(kw_only=True)
class Adam:
    lr: float = real(1e-3, "Learning rate per update", low=0, high=10, open_low=True)
    betas: tuple[float, float] = attrs.field(default=(0.5, 0.999), metadata={"help": "Decay of both moments"})
    impl: Literal["auto", "fused", "foreach"] = choice("auto", "Which Adam", ("auto", "fused", "foreach"))


@attrs.frozen(kw_only=True)
class Step:
    kind: ClassVar[str] = "step"
    every: int = attrs.field(default=100, validator=ge(1))
    factor: float = 0.1


@attrs.frozen(kw_only=True)
class Constant:
    kind: ClassVar[str] = "constant"
    warmup: int = attrs.field(default=0, validator=ge(0))


@attrs.frozen(kw_only=True)
class Optim:
    generator: Adam = Adam(lr=1e-4)
    discriminator: Adam = Adam(lr=4e-4, betas=(0.0, 0.9))
    schedule: Step | Constant = table(lambda: Step(every=60), "Of both rates")
    clip: float | None = attrs.field(default=None, metadata={"help": "Largest norm of the gradient"})
    cap: float | None = 5.0


def _check_aspect(config: "Street") -> Iterator[Problem]:
    if config.width < config.height:
        yield Problem("width", expected=f"at least height, {config.height}", got=config.width)


@attrs.frozen(kw_only=True)
class Street:
    kind: ClassVar[str] = "street"
    height: int = whole(64, "Of the frames", low=16, high=512, unit="pixels")
    width: int = whole(128, "", low=16, high=4096)
    cars: int | Literal["many"] = "many"

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("height", "width"), _check_aspect),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class Folder:
    kind: ClassVar[str] = "folder"
    root: str
    height: int = 512
    teacher: Optim | None = None


@attrs.frozen(kw_only=True)
class Block:
    channels: int = 8
    name: str | None = "block"
    inner: Adam = Adam()


@attrs.frozen(kw_only=True)
class Run:
    steps: int = whole(10, "Training steps", low=1, high=10**9)
    seed: int = 0
    tags: tuple[str, ...] = ()
    limits: tuple[int | None, ...] | Literal["off"] = "off"
    device: str = attrs.field(default="cpu", validator=in_(("cpu", "cuda")))
    deterministic: bool = True


@attrs.frozen(kw_only=True)
class Toy:
    run: Run = Run()
    data: Street | Folder = table(Street, "Where clips come from")
    teacher: Step | Constant | None = None
    optim: Optim = Optim()
    blocks: tuple[Block, ...] = ()
    either: tuple[Step | Constant | int, ...] = ()
    pair: tuple[tuple[int, float], ...] = ((1, 2.0),)
    note: str = ""
