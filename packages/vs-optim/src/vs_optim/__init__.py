"""Fused Adam, O0/O1 precision policy, loss scaling of a GAN, the weight of its EMA, and schedules."""

from vs_optim.adam import AdamChoice, AdamConfig, build_adam, find_apex, step_if_finite
from vs_optim.adam_state import adam_state, load_adam_state
from vs_optim.decision import (
    Decision,
    Divergence,
    ScalingState,
    count_replay,
    decide,
    initial_scaling,
    scaling_from_dict,
    scaling_to_dict,
)
from vs_optim.ema import EmaConfig, ema_weight
from vs_optim.errors import AdamError, PrecisionError, StateError, VsOptimError
from vs_optim.finite import non_finite
from vs_optim.gradients import Finding, GradientReport, Scale, scale_loss, take_gradients
from vs_optim.pair import Network, Pair, both
from vs_optim.precision import (
    Precision,
    PrecisionConfig,
    apply_math_mode,
    autocast,
    describe,
    resolve_precision,
    settle_level,
    slowness,
    wide_islands,
)
from vs_optim.scaler import OverflowPolicy, ScalerConfig, ScaleState
from vs_optim.schedule import ConstantSchedule, LinearSchedule, Schedule, StepSchedule, lr_factor, set_lr
from vs_optim.snapshot import KeptOptimizer, KeptTensors, keep_optimizer, keep_tensors, put_back

__version__ = "0.1.0"

__all__ = [
    "AdamChoice",
    "AdamConfig",
    "AdamError",
    "ConstantSchedule",
    "Decision",
    "Divergence",
    "EmaConfig",
    "Finding",
    "GradientReport",
    "KeptOptimizer",
    "KeptTensors",
    "LinearSchedule",
    "Network",
    "OverflowPolicy",
    "Pair",
    "Precision",
    "PrecisionConfig",
    "PrecisionError",
    "Scale",
    "ScaleState",
    "ScalerConfig",
    "ScalingState",
    "Schedule",
    "StateError",
    "StepSchedule",
    "VsOptimError",
    "adam_state",
    "apply_math_mode",
    "autocast",
    "both",
    "build_adam",
    "count_replay",
    "decide",
    "describe",
    "ema_weight",
    "find_apex",
    "initial_scaling",
    "keep_optimizer",
    "keep_tensors",
    "load_adam_state",
    "lr_factor",
    "non_finite",
    "put_back",
    "resolve_precision",
    "scale_loss",
    "scaling_from_dict",
    "scaling_to_dict",
    "set_lr",
    "settle_level",
    "slowness",
    "step_if_finite",
    "take_gradients",
    "wide_islands",
]
