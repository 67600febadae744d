"""Frame updates by CUDA graphs: what graphs can hold, and that they compute what is computed without them."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import test_few_shot_training as few_shot
import test_step as vid2vid
import torch
import vs_optim as optim
from faults import everything, same
from tape import RuleError, TapeRecorder, compute_as_a_gpu
from torch import Tensor
from vs_config import ConfigError, load_config
from vs_data import Clip, move, open_source
from vs_runtime.graphs import CudaRecorder, Recorded
from vs_training import graphs, update
from vs_training.config import TrainConfig, label_spec
from vs_training.graphs import WARM_UPS, GraphedUpdate
from vs_training.networks import build_recipe, build_state
from vs_training.state import Recipe, StepReport, TrainState
from vs_training.step import train_clip

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _as_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    compute_as_a_gpu(monkeypatch)


DOCUMENTS: dict[str, dict[str, Any]] = {"vid2vid": vid2vid.DOCUMENT, "few-shot": few_shot.SMALL}
PRECISIONS: dict[str, dict[str, str]] = {
    "O0": {"level": "O0"},
    "bfloat16": {"level": "O1", "dtype": "bfloat16"},
    "float16": {"level": "O1", "dtype": "float16"},
}


def setup(kind: str, precision: str = "O0", device: torch.device = CPU, **more: Any) -> tuple[TrainState, Recipe, Clip]:
    torch.manual_seed(0)
    document = {**DOCUMENTS[kind], "precision": PRECISIONS[precision], "run": {"underflow_every": 0}}
    # From a scale at which nothing overflows: what does is left to tests of its own.
    scaled = {**document["optim"], "scaler": {"init_scale": 64.0}}
    config = load_config(TrainConfig, {**document, "optim": scaled, **more})
    spec = label_spec(config.labels, open_source(config.data, "train"))
    resolved = optim.resolve_precision(config.precision, device)
    state, _ = build_state(config, spec, resolved, device, capturable=True)
    clip = vid2vid.street_clip(3) if kind == "vid2vid" else few_shot.faces_clip(config, (4, 5), frames=3)
    return state, build_recipe(config, spec, resolved, device), move(clip, device)


def train(
    state: TrainState, recipe: Recipe, clip: Clip, steps: int, by: GraphedUpdate | None = None
) -> tuple[TrainState, list[StepReport]]:
    reports = []
    for step in range(steps):
        for optimizer in (state.optimizers.generator, state.optimizers.discriminator):
            optim.set_lr(optimizer, 1e-3 / (1 + step))
        state, report = train_clip(state, clip, recipe, by)
        reports.append(report)
    return state, reports


@pytest.mark.parametrize("precision", ["O0", "float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_graphs_compute_what_is_computed_without_them(kind: str, precision: str) -> None:
    """Bit for bit, while learning rates change and with what first, second and later frames look like."""
    steps = WARM_UPS + 2
    plain, expected = train(*setup(kind, precision), steps)
    recorder = TapeRecorder()
    state, recipe, clip = setup(kind, precision)
    graphed, found = train(state, recipe, clip, steps, GraphedUpdate(recorder))
    assert found == expected
    assert same(everything(graphed), everything(plain))
    assert graphed.scaling == plain.scaling
    assert recorder.replayed >= 2 * 2 * 2  # two graphs a frame, of at least two frames in two steps


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_graphs_of_a_gpu_compute_what_is_computed_without_them(
    kind: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding, which steps of a GAN make larger."""
    monkeypatch.delenv("VS_OPS_IMPL")
    gpu = torch.device("cuda")
    _, expected = train(*setup(kind, precision, gpu), WARM_UPS + 2)
    _, found = train(*setup(kind, precision, gpu), WARM_UPS + 2, GraphedUpdate(CudaRecorder(gpu)))
    room = 0.02 if precision == "O0" else 0.1
    for by_graphs, without in zip(found, expected, strict=True):
        for network, losses in without.losses.items():
            assert by_graphs.losses.of(network) == pytest.approx(losses, rel=room, abs=1e-2)


@pytest.mark.parametrize("where", ["discriminator", "generator"])
def test_an_overflow_is_dealt_with_without_graphs(where: optim.Network) -> None:
    """By a scale that overflows for sure: nothing of the recorded attempt is left, and decisions are the same."""
    recorder, updater = TapeRecorder(), None
    results = []
    for by_graphs in (False, True):
        state, recipe, clip = setup("vid2vid", "float16")
        updater = GraphedUpdate(recorder) if by_graphs else None
        state, _ = train(state, recipe, clip, WARM_UPS + 1, updater)
        scales = state.scaling.scales
        huge = attrs.evolve(scales.of(where), scale=2.0**24)
        scaling = attrs.evolve(state.scaling, scales=attrs.evolve(scales, **{where: huge}))
        state, reports = train(attrs.evolve(state, scaling=scaling), recipe, clip, 1, updater)
        results.append((state, reports))
    (plain, expected), (graphed, found) = results
    assert plain.scaling.scales.of(where).skipped_total > 0
    assert found == expected
    assert same(everything(graphed), everything(plain))
    assert graphed.scaling == plain.scaling


def test_the_ema_changes_its_pace() -> None:
    """Its weight is a number of the host: graphs that were recorded while it copied must not go on copying."""
    pace = {"optim": {"ema": {"start_step": 4 * (WARM_UPS + 1), "beta": 0.5}}}
    plain, _ = train(*setup("vid2vid", **pace), 2 * WARM_UPS + 3)
    graphed, _ = train(*setup("vid2vid", **pace), 2 * WARM_UPS + 3, GraphedUpdate(TapeRecorder()))
    assert same(everything(graphed), everything(plain))


PLANTED: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.item(),
    "cpu": lambda x: x.cpu(),
    "branch": lambda x: 1 if x > 0 else 2,
    "mask": lambda x: x.reshape(1)[x.reshape(1) > 0],
    "nonzero": lambda x: x.nonzero(),
    "fresh tensor": lambda _: torch.tensor(1.0),
    "random": lambda x: torch.rand_like(x),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_what_a_graph_cannot_hold_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests above say something: they would end as this does."""
    original = update.check_gradients

    def check_gradients(*arguments: Any) -> optim.GradientReport:
        report = original(*arguments)
        PLANTED[fault](report.norm)
        return report

    monkeypatch.setattr(update, "check_gradients", check_gradients)
    monkeypatch.setattr(graphs, "WARM_UPS", 0)
    with pytest.raises(RuleError):
        train(*setup("vid2vid"), 1, GraphedUpdate(TapeRecorder()))


class _Broken(TapeRecorder):
    def record(self, work: Callable[[], Any]) -> Recorded[Any]:
        super().record(work)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_a_run_goes_on_without_graphs_where_they_cannot_be_recorded() -> None:
    said: list[str] = []
    plain, _ = train(*setup("vid2vid"), WARM_UPS + 1)
    other, _ = train(*setup("vid2vid"), WARM_UPS + 1, GraphedUpdate(_Broken(), said.append))
    assert same(everything(other), everything(plain))
    (line,) = said
    assert line == (
        "performance.graphs: off from here on, since a frame could not be recorded: "
        "operation not permitted when stream is capturing"
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"memory": {"checkpoint": "blocks"}}, "CUDA graphs cannot hold memory.checkpoint=blocks"),
        ({"optim": {"generator": {"impl": "foreach"}}}, "CUDA graphs take PyTorch's fused Adam alone"),
        ({}, None),
    ],
)
def test_graphs_are_refused_in_one_line(document: dict[str, Any], problem: str | None) -> None:
    """Asked for by name; `auto` does without, and nothing has to be a GPU for that to be decided."""
    gpu = torch.device("cuda")
    for wanted in ("auto", "on", "off"):
        config = load_config(TrainConfig, {**DOCUMENTS["vid2vid"], **document, "performance": {"graphs": wanted}})
        if wanted == "on" and problem is not None:
            with pytest.raises(ConfigError, match=problem):
                graphs.settle_graphs(config, gpu)
        else:
            assert graphs.settle_graphs(config, gpu) == (problem is None and wanted != "off")
        if wanted == "on":
            with pytest.raises(ConfigError, match="CUDA graphs need a GPU, and this trains on 'cpu'"):
                graphs.settle_graphs(config, CPU)
        else:
            assert not graphs.settle_graphs(config, CPU)
