"""Work that tests have done in several processes; each function gets the process's `Ranks` first."""

from typing import Any

import attrs
import torch
from faults import everything, merged, run_config
from test_few_shot_training import SMALL
from vs_config import load_config
from vs_data import load_clips, open_source
from vs_optim import resolve_precision
from vs_runtime import seed_everything
from vs_runtime.ranks import Ranks
from vs_training.config import TrainConfig, label_spec, reference_count
from vs_training.networks import build_recipe, build_state
from vs_training.sharing import check_sharing, own_loader
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

CPU = torch.device("cpu")
FEW_SHOT: dict[str, Any] = merged(SMALL, {"curriculum": {"flow_steps": 1}})


def config_of(kind: str, changes: dict[str, Any]) -> TrainConfig:
    """The tiny configuration of a kind of network, four clips a batch."""
    own = {"loader": {"batch_size": 4, "workers": 0}, "memory": {"micro_batches": 4}}
    changes = merged(own, changes)
    return run_config(**changes) if kind == "vid2vid" else load_config(TrainConfig, merged(FEW_SHOT, changes))


def begun(config: TrainConfig, ranks: Ranks) -> tuple[TrainState, Recipe]:
    check_sharing(config, ranks)
    seed_everything(config.seed)
    labels = label_spec(config.labels, open_source(config.data, "train"))
    precision = resolve_precision(config.precision, CPU)
    recipe = build_recipe(config, labels, precision, CPU, ranks)
    return build_state(config, labels, precision, CPU, ranks=ranks)[0], recipe


def trained(ranks: Ranks, kind: str, changes: dict[str, Any], steps: int, length: int) -> dict[str, Any]:
    """All that is learnt in some steps, and what is told of them."""
    config = config_of(kind, changes)
    state, recipe = begun(config, ranks)
    clips = load_clips(
        open_source(config.data, "train"),
        own_loader(config, ranks),
        seed=config.seed,
        length_of=lambda _: length,
        references_of=lambda step: reference_count(config.references, config.seed, step),
        stop=steps,
        shard=(ranks.rank, ranks.count),
    )
    reports = []
    for clip in clips:
        state, report = train_clip(state, clip, recipe)
        reports.append(attrs.asdict(report))
    return {**everything(state), "reports": reports, "scaling": attrs.asdict(state.scaling)}
