"""Runs of tiny networks that were never trained, with an average, and weights large enough for labels to be seen."""

from pathlib import Path

import torch
import toy_runs
from toy_runs import FEW_SHOT, STREET
from vs_data import open_source
from vs_nets import build_ema, build_generator, effective_weights
from vs_training.config import TrainConfig, label_spec
from vs_training.saved import EMA

CONFIGS = {"vid2vid": STREET, "few-shot": FEW_SHOT}


def make_run(path: Path, config: TrainConfig, seed: int = 0) -> Path:
    """A run whose checkpoint of step 3 holds networks and the generator's average."""
    channels = label_spec(config.labels, open_source(config.data, "val")).channels
    torch.manual_seed(seed)
    generator = build_generator(config.generator, label_channels=channels)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(8.0 if parameter.dim() > 1 else 1.0)
    averaged = build_ema(config.generator, label_channels=channels)
    averaged.load_state_dict(effective_weights(generator))
    saved = {"generator": generator.state_dict(), EMA: averaged.state_dict()}
    toy_runs.make_run(path, config, seed=seed, **saved)
    return path
