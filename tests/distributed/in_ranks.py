"""Work that tests have done in several processes; each function gets the process's `Ranks` first."""

import functools
import gc
import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from faults import PLACES, SCALED, GradientFault, merged, run_config, spoil_loss
from test_few_shot_training import SMALL
from vs_config import load_config
from vs_data import Clip, load_clips, open_source
from vs_optim import initial_scaling, resolve_precision
from vs_runtime import list_checkpoints, load_latest, save_checkpoint, seed_everything
from vs_runtime.ranks import GradientSums, Ranks, Reduce, collected, gathered, gradient_sums, most, sums, told
from vs_training import update as updates
from vs_training.agreement import require_one_state, require_one_step
from vs_training.config import TrainConfig, label_spec, reference_count
from vs_training.divergence import require_finite
from vs_training.errors import NonFiniteError, VsTrainingError
from vs_training.networks import build_recipe, build_state
from vs_training.saved import EMA, restore_state, state_to_save
from vs_training.shards import whole_average
from vs_training.sharing import check_sharing, own_loader
from vs_training.state import Recipe, StepReport, TrainState
from vs_training.step import train_clip

CPU = torch.device("cpu")
OWN: dict[str, Any] = {"loader": {"batch_size": 4, "workers": 0}, "memory": {"micro_batches": 4}}
STREET: dict[str, Any] = {"data": {"height": 16, "width": 32}}
FACES: dict[str, Any] = {"data": {"height": 16, "width": 16}, "curriculum": {"flow_steps": 1}}


def config_of(kind: str, changes: dict[str, Any]) -> TrainConfig:
    """The tiny configuration of a kind of network, four clips a batch in four parts."""
    if kind == "vid2vid":
        return run_config(**merged(merged(OWN, STREET), changes))
    return load_config(TrainConfig, merged(merged(merged(SMALL, OWN), FACES), changes))


def begun(config: TrainConfig, ranks: Ranks) -> tuple[TrainState, Recipe]:
    """A run's first state, made as a run makes it."""
    check_sharing(config, ranks)
    seed_everything(config.seed)
    labels = label_spec(config.labels, open_source(config.data, "train"))
    precision = resolve_precision(config.precision, CPU)
    recipe = build_recipe(config, labels, precision, CPU, ranks)
    return build_state(config, labels, precision, CPU, ranks=ranks)[0], recipe


def clips_of(config: TrainConfig, ranks: Ranks, start: int, stop: int, length: int) -> Iterator[Clip]:
    """What a process sees in some steps."""
    return load_clips(
        open_source(config.data, "train"),
        own_loader(config, ranks),
        seed=config.seed,
        length_of=lambda _: length,
        references_of=lambda step: reference_count(config.references, config.seed, step),
        start=start,
        stop=stop,
        shard=(ranks.rank, ranks.count),
    )


def trained(ranks: Ranks, kind: str, changes: dict[str, Any], steps: int, length: int) -> dict[str, Any]:
    """All that is learnt in some steps, and what is told of them."""
    config = config_of(kind, changes)
    state, recipe = begun(config, ranks)
    return learnt(config, *went_through(config, state, recipe, steps, length))


def went_through(
    config: TrainConfig, state: TrainState, recipe: Recipe, stop: int, length: int
) -> tuple[TrainState, list[StepReport]]:
    reports = []
    for clip in clips_of(config, recipe.ranks, state.step, stop, length):
        state, report = train_clip(state, clip, recipe)
        reports.append(report)
    return state, reports


def learnt(config: TrainConfig, state: TrainState, reports: list[StepReport]) -> dict[str, Any]:
    """All that every process has, and what is told of it."""
    parts = (EMA, *(f"{network}_optimizer" for network in PLACES[2]))
    alone = {"random", *(parts if config.distributed.shard_optimizer else ())}
    shared = {name: value for name, value in state_to_save(state).items() if name not in alone}
    return {**shared, "reports": [attrs.asdict(report) for report in reports]}


def averaged(ranks: Ranks, kind: str, changes: dict[str, Any], steps: int) -> tuple[int, Any]:
    """How many averaged numbers this process holds after some steps, and all of them where it is told these."""
    config = config_of(kind, changes)
    state, _ = went_through(config, *begun(config, ranks), steps, 1)
    own = [p for p in state.generator_ema.parameters() if not p.is_meta]
    whole = whole_average(state.generator_ema, state.ema_shards)
    return sum(p.untyped_storage().nbytes() // 4 for p in own), None if whole is None else whole.state_dict()


def gone_on(ranks: Ranks, kind: str, changes: dict[str, Any], stop: int, folder: Path) -> dict[str, Any]:
    """The same from the newest checkpoint in a folder, if there is one, to the next, which the first process writes."""
    config = config_of(kind, changes)
    state, recipe = begun(config, ranks)
    if list_checkpoints(folder):
        state = restore_state(state, load_latest(folder).state)
    require_one_step(ranks, state.step)
    state, reports = went_through(config, state, recipe, stop, 2)
    require_finite(state, ranks)
    saved = state_to_save(state)
    if ranks.first:
        save_checkpoint(folder, step=stop, state=saved, keep=9)
    return learnt(config, state, reports)


def with_fault(ranks: Ranks, kind: str, changes: dict[str, Any], fault: str, policy: str) -> Any:
    """What is learnt in a step of two frames in which something goes wrong in the second half of a batch alone."""
    scaled = fault != "strike"
    config = config_of(kind, merged(changes, {"optim": {"scaler": {"init_scale": 1024.0, "policy": policy}}}))
    state, recipe = begun(config, ranks)
    if scaled and config.precision.level == "O0":
        state = attrs.evolve(state, scaling=initial_scaling(config.optim.scaler, SCALED))
        recipe = attrs.evolve(recipe, precision=SCALED)
    half = ranks.rank * recipe.micro_batches <= 2 < (ranks.rank + 1) * recipe.micro_batches
    with pytest.MonkeyPatch.context() as patch:
        if half:
            _FAULTS[fault](patch, state, 2 - ranks.rank * recipe.micro_batches)
        try:
            return learnt(config, *went_through(config, state, recipe, 1, 2))
        except NonFiniteError as error:
            return error.facts


def _late(patch: pytest.MonkeyPatch, _: TrainState, part: int) -> None:
    spoil_loss(patch, "discriminator", part, math.nan)


def _after(patch: pytest.MonkeyPatch, _: TrainState, __: int) -> None:
    GradientFault(patch, "generator", [0], bad=math.inf)


def _overflow(_: pytest.MonkeyPatch, state: TrainState, part: int, *, once: bool = True) -> None:
    """Let the gradient of one part overflow."""
    calls = itertools.count()
    weight = next(p for p in state.discriminator.parameters() if p.ndim == 4)
    weight.register_hook(lambda g: g * math.inf if next(calls) == part or not once else None)


_FAULTS: dict[str, Callable[..., None]] = {
    "late": _late,
    "after": _after,
    "overflow": _overflow,
    "strike": functools.partial(_overflow, once=False),
}


def with_bad_frame(ranks: Ranks, late: bool) -> tuple[Any, ...]:
    """The error of a step in which the last process has a frame that is not finite, and the clips of all."""
    config = config_of("vid2vid", {})
    state, recipe = begun(config, ranks)
    (clip,) = clips_of(config, ranks, 0, 1, 2)
    if ranks.rank == ranks.count - 1:
        clip.frames[:, 1] = math.nan
    with pytest.MonkeyPatch.context() as patch:
        if late:  # as on a GPU, which is not waited for
            terms = updates.terms_of
            patch.setattr(updates, "terms_of", lambda *given: attrs.evolve(terms(*given), wait=False))
        with pytest.raises(NonFiniteError) as caught:
            train_clip(state, clip, recipe)
    error = caught.value
    return (error.rank, error.clip, error.frame, error.what, error.layer), collected(ranks, clip.name)


def with_difference(ranks: Ranks, place: str) -> str:
    """What is said of a state that differs in one number of the last process but one."""
    config = config_of("vid2vid", {})
    state, recipe = begun(config, ranks)
    state, _ = went_through(config, state, recipe, 1, 1)
    require_one_state(ranks, state)
    if ranks.rank == ranks.count - 2:
        match place:
            case "weight":
                (*_, weight) = state.generator.parameters()
                weight.data.view(-1)[-1:].copy_(weight.data.view(-1)[-1:].nextafter(torch.tensor(9.0)))
            case "moment":
                next(iter(state.optimizers.discriminator.state.values()))["exp_avg"].add_(1)
            case "lost":
                del state.optimizers.generator.state[next(iter(state.optimizers.generator.state))]
            case "count":
                state = attrs.evolve(state, updates=7)
    with pytest.raises(VsTrainingError) as caught:
        require_one_state(ranks, state)
    return str(caught.value)


def ask(ranks: Ranks) -> tuple[Any, ...]:
    rank = float(ranks.rank)
    own = torch.tensor([rank, rank + 1])
    value = {"from": ranks.rank, "x": "ä" * 5 * (ranks.rank + 1)}
    found = most(ranks, [-1 - rank, rank])
    words = [ranks.rank] * max(1, 2 * ranks.rank - 1)
    return found, gathered(ranks, own).tolist(), told(ranks, value), collected(ranks, words)


def sum_up(
    ranks: Ranks, reduce: Reduce, parts: int, bucket_bytes: int, kinds: bool
) -> list[tuple[list[int], list[Any]]]:
    """The gradients of four parameters after batches of which each uses some, as it is said or not."""
    shapes = [(2, 2, 2, 2), (3,), (1, 1), (2,)]
    weights = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
    weights[0] = torch.nn.Parameter(torch.ones(2, 2, 2, 2).to(memory_format=torch.channels_last))
    sums = gradient_sums(ranks, weights, reduce=reduce, bucket_bytes=bucket_bytes)
    found = []
    for used in ([0, 1, 2, 3], [0, 2], [0, 1, 3], [0, 1, 3], [0, 2]):
        for weight in weights:
            weight.grad = None
        for part in sums.each(
            range(ranks.rank * parts, (ranks.rank + 1) * parts), parts, tuple(used) if kinds else None
        ):
            here = [i for i in used if i < 3 or ranks.rank == ranks.count - 1]
            torch.stack([weights[i].sum() * (part + 1) * (i + 1) for i in here]).sum().backward()
        found.append((used, [weight.grad for weight in weights]))
    return found


def overlapped(ranks: Ranks, kind: str, changes: dict[str, Any]) -> list[tuple[int, int, list[int], list[int]]]:
    """Of each update of a network in two clips of four frames: how many gradients there are, how many of them travel,

    and of each bucket how many gradients had come when it was sent, and would have if it was sent as soon as it could.
    """
    config = config_of(kind, changes)
    state, recipe = begun(config, ranks)

    def in_buckets(network: torch.nn.Module) -> GradientSums:
        own = list(network.parameters())
        return gradient_sums(ranks, own, reduce="fast", bucket_bytes=sum(p.nbytes for p in own) // 20)

    state = attrs.evolve(state, sums=state.networks.map(in_buckets))
    found: list[tuple[int, int, list[int], list[int]]] = []
    names = ("note", "_send_next", "send_rest", "take")
    note, send, rest, take = (getattr(sums._Buckets, name) for name in names)
    come, sent = [0], list[int]()

    def note_here(self: Any, parameter: torch.Tensor) -> None:
        come[0] += parameter in self  # PyTorch also tells of some that get no gradient
        note(self, parameter)

    def send_here(self: Any) -> None:
        sent.append(come[0])
        send(self)

    def send_rest_here(self: Any) -> None:
        come[0] = 10**6  # whatever is sent now has not travelled while there was something to compute
        rest(self)

    def take_here(self: Any, present: Any) -> None:
        take(self, present)
        sizes = [len(bucket) for bucket in self._buckets]
        found.append((len(present), sum(sizes), list(sent), list(itertools.accumulate(sizes))))
        come[0] = 0
        sent.clear()

    with pytest.MonkeyPatch.context() as patch:
        for name, function in zip(names, (note_here, send_here, send_rest_here, take_here), strict=True):
            patch.setattr(sums._Buckets, name, function)
        for clip in clips_of(config, ranks, 0, 2, 4):
            state, _ = train_clip(state, clip, recipe)
    return found


def leave(ranks: Ranks) -> bool:
    """Whether a parameter is gone once nobody uses it."""
    weight = torch.nn.Parameter(torch.ones(2))
    sums = gradient_sums(ranks, [weight], reduce="fast", bucket_bytes=1)
    for _ in sums.each([0], 1):
        weight.sum().backward()
    gone = weakref.ref(weight)
    del weight, sums
    gc.collect()
    return gone() is None
