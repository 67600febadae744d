"""What can go wrong in a benchmark, in one line each."""

from vs_config.errors import ConfigError
from vs_data import VsDataError
from vs_metrics import VsMetricsError
from vs_nets import VsNetsError
from vs_ops import VsOpsError
from vs_optim import VsOptimError
from vs_runtime import VsRuntimeError
from vs_synthesis import VsSynthesisError
from vs_training.errors import VsTrainingError


class VsBenchError(Exception):
    """Root of the errors of this app: a measurement that cannot be made as asked for, or that failed."""


INPUT_ERRORS = (
    VsBenchError,
    ConfigError,
    VsDataError,
    VsMetricsError,
    VsNetsError,
    VsOpsError,
    VsOptimError,
    VsRuntimeError,
    VsSynthesisError,
    VsTrainingError,
)
"""What wrong input to a benchmark raises, for `vs_config.commands.run_command`."""
