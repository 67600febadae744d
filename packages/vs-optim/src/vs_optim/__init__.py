"""Fused Adam, O0/O1 precision policy, loss scalers, EMA and schedules for GANs."""

from vs_optim.adam import AdamChoice, AdamConfig, ApexStatus, build_adam, choose_adam, find_apex
from vs_optim.adam_state import adam_state, load_adam_state
from vs_optim.ema import EmaConfig, ema_share, ema_update
from vs_optim.errors import (
    AdamError,
    ConfigError,
    EmaError,
    GradientOverflowError,
    PrecisionError,
    StateError,
    VsOptimError,
)
from vs_optim.finite import non_finite
from vs_optim.precision import Precision, PrecisionConfig, apply_math_mode, autocast, describe, resolve_precision
from vs_optim.scaler import (
    Decision,
    LossScaler,
    OverflowPolicy,
    ScalerConfig,
    ScalerReport,
    build_scaler,
    resolve_overflow,
)
from vs_optim.schedule import ConstantSchedule, LinearSchedule, Schedule, StepSchedule, lr_factor, set_lr

__version__ = "0.1.0"

__all__ = [
    "AdamChoice",
    "AdamConfig",
    "AdamError",
    "ApexStatus",
    "ConfigError",
    "ConstantSchedule",
    "Decision",
    "EmaConfig",
    "EmaError",
    "GradientOverflowError",
    "LinearSchedule",
    "LossScaler",
    "OverflowPolicy",
    "Precision",
    "PrecisionConfig",
    "PrecisionError",
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
    "describe",
    "ema_share",
    "ema_update",
    "find_apex",
    "load_adam_state",
    "lr_factor",
    "non_finite",
    "resolve_overflow",
    "resolve_precision",
    "set_lr",
]
