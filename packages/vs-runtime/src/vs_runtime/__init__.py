"""Thread affinity, activation checkpointing, run directories and checkpoints, seeding."""

from vs_runtime.activation_checkpoint import checkpointed
from vs_runtime.affinity import (
    AffinityConfig,
    AffinityPlan,
    AffinityPolicy,
    Core,
    Gpu,
    Topology,
    allowed_cpus,
    apply_affinity,
    cpu_list,
    gpu_index_of,
    plan_affinity,
    read_topology,
    worker_init,
)
from vs_runtime.compiling import compile_modules
from vs_runtime.device import DeviceError, check_gpus, choose_device, search_convolutions
from vs_runtime.environment import describe_environment
from vs_runtime.errors import (
    ActivationError,
    AffinityError,
    DamagedCheckpoint,
    NoCheckpoint,
    RanksError,
    StateError,
    VsRuntimeError,
)
from vs_runtime.files import (
    is_left_behind,
    naming,
    remove,
    sweep,
    temporary_path,
    whole_directory,
    write_atomically,
)
from vs_runtime.fingerprint import fingerprints
from vs_runtime.fit import Every, Maybe, check_fit
from vs_runtime.fresh_process import in_fresh_process
from vs_runtime.marked_directory import PlaceError, check_place, marked_directory
from vs_runtime.memory import Room, forget_peak, is_out_of_memory, memory_in_use, memory_of, peak_memory
from vs_runtime.neighbours import giving_way
from vs_runtime.run_checkpoint import (
    BEST,
    LoadedCheckpoint,
    best_step,
    checkpoint_path,
    checkpoints_by_step,
    find_best,
    keep_best,
    list_checkpoints,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)
from vs_runtime.seeding import derive_seed, random_state, restore_random_state, seed_everything

__version__ = "0.1.0"

__all__ = [
    "BEST",
    "ActivationError",
    "AffinityConfig",
    "AffinityError",
    "AffinityPlan",
    "AffinityPolicy",
    "Core",
    "DamagedCheckpoint",
    "DeviceError",
    "Every",
    "Gpu",
    "LoadedCheckpoint",
    "Maybe",
    "NoCheckpoint",
    "PlaceError",
    "RanksError",
    "Room",
    "StateError",
    "Topology",
    "VsRuntimeError",
    "allowed_cpus",
    "apply_affinity",
    "best_step",
    "check_fit",
    "check_gpus",
    "check_place",
    "checkpoint_path",
    "checkpointed",
    "checkpoints_by_step",
    "choose_device",
    "compile_modules",
    "cpu_list",
    "derive_seed",
    "describe_environment",
    "find_best",
    "fingerprints",
    "forget_peak",
    "giving_way",
    "gpu_index_of",
    "in_fresh_process",
    "is_left_behind",
    "is_out_of_memory",
    "keep_best",
    "list_checkpoints",
    "load_checkpoint",
    "load_latest",
    "marked_directory",
    "memory_in_use",
    "memory_of",
    "naming",
    "peak_memory",
    "plan_affinity",
    "random_state",
    "read_topology",
    "remove",
    "restore_random_state",
    "save_checkpoint",
    "search_convolutions",
    "seed_everything",
    "sweep",
    "temporary_path",
    "whole_directory",
    "worker_init",
    "write_atomically",
]
