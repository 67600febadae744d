"""What wrong input raises, of all packages; everything else is a defect and keeps its stack trace."""

from vs_config import ConfigError
from vs_data import VsDataError
from vs_metrics import VsMetricsError
from vs_nets import VsNetsError
from vs_ops import VsOpsError
from vs_optim import VsOptimError
from vs_runtime import VsRuntimeError
from vs_synthesis import VsSynthesisError
from vs_training.errors import VsTrainingError

from vs_eval.errors import VsEvalError

INPUT_ERRORS = (
    VsEvalError,
    ConfigError,
    VsDataError,
    VsMetricsError,
    VsNetsError,
    VsOpsError,
    VsOptimError,
    VsRuntimeError,
    VsSynthesisError,
    VsTrainingError,
    OSError,
)
"""The errors of each package, and of the system."""
