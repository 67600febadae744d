"""A whole training step, operator by operator, against the policy of precision in precision_table.py."""

import functools
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
import vs_optim as optim
from precision_table import MATRIX, TABLE, Computes, findings, markdown, seen
from precision_walk import Walk, watched
from torch import Tensor, nn
from vs_config import load_config
from vs_data import ClipRequest, collate, open_source
from vs_nets.label_map import convolve_label
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_recipe, build_state
from vs_training.state import TrainState
from vs_training.step import train_clip

CPU = torch.device("cpu")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "precision.md"

LOW = torch.bfloat16

WIDTHS = {"filters": 4, "max_filters": 8}
FLOW = {**WIDTHS, "downsamples": 2, "residual_blocks": 1}
WARPED = {"kind": "spade", "levels": 2, "embedder": {"arch": "unet", **WIDTHS, "downsamples": 2}}
PATCH = {"filters": 4, "layers": 1, "scales": 2, "spectral_norm": True}
COMMON: dict[str, Any] = {
    "objective": {"perceptual": {"kind": "random", "width_divisor": 16}},
    "optim": {"ema": {"start_step": 1}, "scaler": {"init_scale": 256.0}},
    "curriculum": {"initial_length": 3, "max_length": 3},
}


def vid2vid(combination: dict[str, Any]) -> dict[str, Any]:
    return {
        **COMMON,
        "data": {"kind": "street", "height": 32, "width": 64, "sequence_length": 3},
        "generator": {
            **WIDTHS,
            "levels": 3,
            "image_downsamples": 2,
            "embedder": {**WIDTHS, "downsamples": 2},
            "flow": FLOW,
            "combination": combination,
        },
        "discriminator": {"image": PATCH, "temporal": {"patch": {**PATCH, "scales": 1}}},
    }


def few_shot(weights: dict[str, Any]) -> dict[str, Any]:
    return {
        **COMMON,
        "data": {"kind": "faces", "height": 32, "width": 32, "sequence_length": 6, "train_identities": 3},
        "references": {"min": 1, "max": 2},
        "generator": {
            "kind": "few-shot",
            "downsamples": 2,
            "filters": 4,
            "max_filters": 16,
            "embedder": {"filters": 4, "max_filters": 16, "downsamples": 2},
            "weights": {"levels": 2, **weights},
            "flow": FLOW,
            "combination": {**WARPED, "raw_output": True},
        },
        "discriminator": {"image": {**PATCH, "scales": 1}},
    }


ATTENTION = few_shot({"attention": {"downsamples": 1}})
CASES = {
    "vid2vid, raw output": (vid2vid({**WARPED, "raw_output": True}), 3),
    "vid2vid, no raw output": (vid2vid({**WARPED, "raw_output": False}), 2),
    "vid2vid, linear combination": (vid2vid({"kind": "linear"}), 3),
    "few-shot, attention": (ATTENTION, 2),
    "few-shot, nearest reference": (few_shot({"convolutions": True}), 2),
}


def walk(document: dict[str, Any], frames: int, precision: dict[str, Any]) -> tuple[TrainState, Walk]:
    """A training step on a clip of a configuration, from fresh weights, with every operator counted."""
    torch.manual_seed(0)
    config = load_config(TrainConfig, {**document, "precision": precision})
    source = open_source(config.data, "train")
    labels, resolved = label_spec(config.labels, source), optim.resolve_precision(config.precision, CPU)
    state, _ = build_state(config, labels, resolved, CPU)
    recipe = build_recipe(config, labels, resolved, CPU)
    references = (4, 5) if config.references is not None else ()
    requests = (ClipRequest(sequence=i, start=0, length=frames, references=references) for i in range(2))
    clip = collate([source.read(request) for request in requests])
    assert recipe.perceptual is not None
    networks: dict[str, nn.Module] = {
        "generator": state.generator,
        "discriminator": state.discriminator,
        "perceptual": recipe.perceptual,
    }
    with watched(networks) as counted:
        state, _ = train_clip(state, clip, recipe)
    return state, counted


@functools.cache
def case_walk(case: str, level: str, dtype: str = "auto") -> tuple[set[torch.dtype], Walk]:
    """Dtypes of all that a case's step leaves behind, and its walk."""
    state, counted = walk(*CASES[case], {"level": level, "dtype": dtype})
    return set(kept(state).values()), counted


def kept(state: TrainState) -> dict[str, torch.dtype]:
    """The dtype of everything that outlives a step and is not a counter."""
    found: dict[str, Tensor] = {}
    for name in ("generator", "discriminator", "generator_ema"):
        network: nn.Module = getattr(state, name)
        found |= {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}
        found |= {f"gradient of {name}.{key}": p.grad for key, p in network.named_parameters() if p.grad is not None}
    for name, optimizer in state.optimizers.items():
        for i, moments in enumerate(optimizer.state.values()):
            found |= {f"{name}.{i}.{key}": value for key, value in moments.items()}
    return {name: tensor.dtype for name, tensor in found.items()}


LEVELS = [
    *((case, "bfloat16") for case in CASES),
    *((case, "float16") for case in ("vid2vid, raw output", "few-shot, attention")),
]


@pytest.mark.parametrize(("case", "dtype"), LEVELS)
def test_every_operator_of_a_step_computes_where_the_policy_says(case: str, dtype: str) -> None:
    left, counted = case_walk(case, "O1", dtype)
    assert findings(counted, getattr(torch, dtype)) == []
    assert sum(count for event, count in counted.items() if "adam" in event.operator) >= 4  # nothing was skipped
    assert left == {torch.float32}


def test_every_region_of_the_table_is_walked_through() -> None:
    """A row that nothing reaches would be a promise that nobody keeps."""
    passed = set().union(*(seen(case_walk(case, "O1", dtype)[1]) for case, dtype in LEVELS))
    assert passed == {region.name for region in TABLE}


@pytest.mark.parametrize("case", ["vid2vid, raw output", "few-shot, attention"])
def test_plain_float32_is_float32_everywhere(case: str) -> None:
    left, counted = case_walk(case, "O0")
    assert left == {torch.float32}
    assert findings(counted, torch.float32) == []
    assert not {dtype for event in counted for dtype, _ in (*event.read, *event.returned)} & {torch.float16, LOW}


def test_the_documentation_shows_this_table() -> None:
    found = re.search(r"^\| region of a training step .*?(?=\n\n)", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    assert found.group() == markdown(), f"replace the table of {DOCS.name} by what precision_table.markdown() returns"


# The walk sees what it is there to see

Change = Callable[[pytest.MonkeyPatch], None]


def in_low(operator: str) -> Change:
    """An operator of which all implementations on the CPU compute in 16 bits."""
    modules = [sys.modules.get(f"vs_ops.{kind}.{operator}") for kind in ("reference", "native")]

    def change(patch: pytest.MonkeyPatch) -> None:
        for module in modules:
            if hasattr(module, "compute_dtype"):
                patch.setattr(module, "compute_dtype", lambda *_: LOW)

    return change


def low_reference(operator: str) -> Change:
    """The same of one whose reference need not be what is chosen."""

    def change(patch: pytest.MonkeyPatch) -> None:
        patch.setenv("VS_OPS_IMPL", "reference")
        in_low(operator)(patch)

    return change


def rounded_flow(patch: pytest.MonkeyPatch) -> None:
    """Flow that has been in 16 bits on its way, and is float32 again."""
    decode = sys.modules["vs_nets.flow"]._decode  # type: ignore[attr-defined]

    def rounding(*arguments: Any) -> tuple[Tensor, Tensor]:
        flow, mask = decode(*arguments)
        return flow.to(LOW), mask

    patch.setattr(sys.modules["vs_nets.flow"], "_decode", rounding)


def single_convolutions(patch: pytest.MonkeyPatch) -> None:
    """Convolutions that autocast does not reach."""

    def convolve(label: Any, *arguments: Any) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return convolve_label(label.float(), *(x.float() if isinstance(x, Tensor) else x for x in arguments))

    patch.setattr(sys.modules["vs_nets.layers"], "convolve_label", convolve)


def autocast_iteration(patch: pytest.MonkeyPatch) -> None:
    """A sigma that autocast reaches, from weights that are cast to 16 bits."""
    patch.setattr(sys.modules["vs_ops.native.spectral_normalize_all"], "without_autocast", lambda _: nullcontext())
    patch.setattr(sys.modules["vs_ops._matrices"], "compute_dtype", lambda *_: LOW)


def rounded_losses(patch: pytest.MonkeyPatch) -> None:
    """Losses that have been in 16 bits before they are summed."""
    total = nets.total

    def rounded(losses: nets.Losses) -> Tensor:
        return total({name: attrs.evolve(loss, value=loss.value.to(LOW)) for name, loss in losses.items()})

    patch.setattr(nets, "total", rounded)


LOSS = ("total loss", "check of gradients", "optimizer and loss scale")
"""Where a loss of 16 bits is noticed again: where it is summed, checked and reported."""

MOVED: dict[str, tuple[Change, set[str]]] = {
    "norm": (low_reference("instance_norm"), {"norm statistics"}),
    "softmax": (in_low("reference_matrix"), {"softmax and attention"}),
    "attention": (in_low("attend"), {"softmax and attention"}),
    "coordinates": (in_low("warp"), {"grids and sampling"}),
    "hinge": (in_low("hinge"), {"loss gan", *LOSS}),
    "feature matching": (low_reference("feature_matching"), {"loss feature_matching", "loss perceptual", *LOSS}),
    "flow loss": (in_low("masked_l1"), {"loss flow", *LOSS}),
    "mask loss": (in_low("mask_loss"), {"loss flow_mask", *LOSS}),
    "kernel sums": (in_low("upsample_conv2d"), {"sums that stand for a convolution"}),
    "spectral norm": (autocast_iteration, {"spectral norm", "EMA of weights"}),
    "flow": (rounded_flow, {"grids and sampling", "loss flow"}),
    "convolutions": (single_convolutions, {MATRIX}),
    "total": (rounded_losses, {"total loss", "optimizer and loss scale"}),
}


@pytest.mark.parametrize("what", MOVED)
def test_a_moved_island_is_named(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, regions = MOVED[what]
    change(monkeypatch)
    found = findings(walk(ATTENTION, 1, {"level": "O1"})[1], LOW)
    assert {line.partition(":")[0] for line in found} == regions, "\n".join(found)
    if what == "convolutions":
        assert "generator.flow_reference.flow_head" in "".join(found)


def test_what_the_table_does_not_know_is_a_finding() -> None:
    _, counted = walk(ATTENTION, 1, {"level": "O1"})
    for place in ("vs_ops.warp", "vs_ops.hinge", "vs_optim"):
        table = tuple(attrs.evolve(r, where=tuple(w for w in r.where if w != place)) for r in TABLE)
        found = findings(counted, LOW, table)
        assert found
        assert all(line.startswith("no region: ") for line in found)
        assert {line.partition(" of ")[2].startswith((place, "vs_ops._precision")) for line in found} == {True}


def test_a_stricter_table_finds_what_the_policy_allows() -> None:
    """The modulation by SPADE runs in 16 bits: a table that forbids it names it in both directions, with its layers."""
    _, counted = walk(ATTENTION, 1, {"level": "O1"})
    stricter = tuple(
        attrs.evolve(r, computes=Computes.FLOAT32) if r.name == "modulation by SPADE" else r for r in TABLE
    )
    found = findings(counted, LOW, stricter)
    assert {line.partition(":")[0] for line in found} == {"modulation by SPADE"}
    assert {direction for line in found for direction in ("forward", "backward") if f", {direction};" in line} == {
        "forward",
        "backward",
    }
    assert any("generator.up.0.norm_0" in line for line in found if "addcmul" in line)
