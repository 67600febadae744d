"""Fused Adam, O0/O1 precision policy, loss scalers, EMA and schedules for GANs."""

from vs_optim.adam import AdamChoice, AdamConfig, ApexStatus, build_adam, choose_adam, find_apex
from vs_optim.adam_state import adam_state, load_adam_state
from vs_optim.ema import EmaConfig, ema_share, ema_update
from vs_optim.errors import (
    AdamError,
    EmaError,
    GradientOverflowError,
    PrecisionError,
    StateError,
    VsOptimError,
)
from vs_optim.finite import non_finite
from vs_optim.gradients import Finding, GradientReport, scale_loss, take_gradients, underflow_share
from vs_optim.pair import (
    Decision,
    Divergence,
    Network,
    PairState,
    count_replay,
    decide,
    initial_pair,
    pair_from_dict,
    pair_to_dict,
)
from vs_optim.precision import (
    Precision,
    PrecisionConfig,
    apply_math_mode,
    autocast,
    describe,
    resolve_precision,
    slowness,
)
from vs_optim.scaler import LossScaler, OverflowPolicy, ScalerConfig, ScalerReport, ScaleState, build_scaler
from vs_optim.schedule import ConstantSchedule, LinearSchedule, Schedule, StepSchedule, lr_factor, set_lr
from vs_optim.snapshot import KeptOptimizer, KeptTensors, keep_optimizer, keep_tensors, put_back

__version__ = "0.1.0"

__all__ = [
    "AdamChoice",
    "AdamConfig",
    "AdamError",
    "ApexStatus",
    "ConstantSchedule",
    "Decision",
    "Divergence",
    "EmaConfig",
    "EmaError",
    "Finding",
    "GradientOverflowError",
    "GradientReport",
    "KeptOptimizer",
    "KeptTensors",
    "LinearSchedule",
    "LossScaler",
    "Network",
    "OverflowPolicy",
    "PairState",
    "Precision",
    "PrecisionConfig",
    "PrecisionError",
    "ScaleState",
    "ScalerConfig",
    "ScalerReport",
    "Schedule",
    "StateError",
    "StepSchedule",
    "VsOptimError",
    "adam_state",
    "apply_math_mode",
    "autocast",
    "build_adam",
    "build_scaler",
    "choose_adam",
    "count_replay",
    "decide",
    "describe",
    "ema_share",
    "ema_update",
    "find_apex",
    "initial_pair",
    "keep_optimizer",
    "keep_tensors",
    "load_adam_state",
    "lr_factor",
    "non_finite",
    "pair_from_dict",
    "pair_to_dict",
    "put_back",
    "resolve_precision",
    "scale_loss",
    "set_lr",
    "slowness",
    "take_gradients",
    "underflow_share",
]
