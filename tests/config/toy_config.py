"""A small tree of configuration classes with everything that the real one has, and more."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from attrs.validators import ge, gt, in_


@attrs.frozen(kw_only=True)
class Adam:
    lr: float = attrs.field(default=1e-3, validator=gt(0), metadata={"help": "Learning rate per update"})
    betas: tuple[float, float] = attrs.field(default=(0.5, 0.999), metadata={"help": "Decay of both moments"})
    impl: Literal["auto", "fused", "foreach"] = attrs.field(default="auto", metadata={"help": "Which Adam"})


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
    schedule: Step | Constant = attrs.field(factory=lambda: Step(every=60), metadata={"help": "Of both rates"})
    clip: float | None = attrs.field(default=None, metadata={"help": "Largest norm of the gradient"})
    cap: float | None = 5.0


@attrs.frozen(kw_only=True)
class Street:
    kind: ClassVar[str] = "street"
    height: int = attrs.field(default=64, validator=ge(16), metadata={"help": "Pixels"})
    width: int = attrs.field(default=128, validator=ge(16))
    cars: int | Literal["many"] = "many"

    def __attrs_post_init__(self) -> None:
        if self.width < self.height:
            raise ValueError(f"width has to be at least height, got {self.width} < {self.height}")


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
    steps: int = attrs.field(default=10, validator=ge(1), metadata={"help": "Training steps"})
    seed: int = 0
    tags: tuple[str, ...] = ()
    limits: tuple[int | None, ...] | Literal["off"] = "off"
    device: str = attrs.field(default="cpu", validator=in_(("cpu", "cuda")))
    deterministic: bool = True


@attrs.frozen(kw_only=True)
class Toy:
    run: Run = Run()
    data: Street | Folder = attrs.field(factory=Street, metadata={"help": "Where clips come from"})
    teacher: Step | Constant | None = None
    optim: Optim = Optim()
    blocks: tuple[Block, ...] = ()
    either: tuple[Step | Constant | int, ...] = ()
    pair: tuple[tuple[int, float], ...] = ((1, 2.0),)
    note: str = ""
