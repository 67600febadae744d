"""Fused operators for video synthesis networks, each with a readable reference.

Every operator is a function with an argument `impl` ("auto" by default); `python -m vs_ops.info` shows what "auto"
chooses and why.
"""

from vs_ops.attend import ATTEND, attend
from vs_ops.dispatch import Candidate, DescribedCall, Implementation, Operator, choose, explain
from vs_ops.ema import EMA, ema
from vs_ops.errors import ClassIdError, DtypeError, ImplementationError, ShapeError, VsOpsError
from vs_ops.feature_matching import FEATURE_MATCHING, feature_matching
from vs_ops.gelu import GELU, gelu
from vs_ops.hinge import HINGE_D_FAKE, HINGE_D_REAL, HINGE_G, hinge_d_fake, hinge_d_real, hinge_g
from vs_ops.hyper_conv2d import HYPER_CONV2D, hyper_conv2d
from vs_ops.instance_norm import INSTANCE_NORM, instance_norm
from vs_ops.label_conv2d import LABEL_CONV2D, label_conv2d
from vs_ops.mask_loss import MASK_LOSS, mask_loss
from vs_ops.masked_l1 import MASKED_L1, masked_l1
from vs_ops.one_hot import ONE_HOT, one_hot
from vs_ops.product_conv2d import product_conv2d
from vs_ops.reference_matrix import REFERENCE_MATRIX, reference_matrix
from vs_ops.rules import NO_RULES, Rule, Rules
from vs_ops.singular_values import SINGULAR_VALUES, singular_values
from vs_ops.spade import SPADE, spade
from vs_ops.spectral_conv2d import SPECTRAL_CONV2D, power_iterations, spectral_conv2d
from vs_ops.spectral_norm import POWER_ITERATION, SPECTRAL_NORMALIZE, power_iteration, spectral_normalize
from vs_ops.spectral_normalize_all import SPECTRAL_NORMALIZE_ALL, spectral_normalize_all
from vs_ops.upsample_conv2d import UPSAMPLE_CONV2D, upsample_conv2d, upsample_conv2d_by, upsampling_kernel
from vs_ops.warp import WARP, WARP_AND_BLEND, warp, warp_and_blend
from vs_ops.winograd_conv2d import WinogradKernel, winograd_conv2d, winograd_kernel, winograd_pays

__version__ = "0.1.0"

OPERATORS = (
    HINGE_D_REAL,
    HINGE_D_FAKE,
    HINGE_G,
    POWER_ITERATION,
    SPECTRAL_CONV2D,
    SPECTRAL_NORMALIZE,
    SPECTRAL_NORMALIZE_ALL,
    SINGULAR_VALUES,
    INSTANCE_NORM,
    SPADE,
    WARP,
    WARP_AND_BLEND,
    MASKED_L1,
    FEATURE_MATCHING,
    ONE_HOT,
    HYPER_CONV2D,
    REFERENCE_MATRIX,
    ATTEND,
    GELU,
    LABEL_CONV2D,
    UPSAMPLE_CONV2D,
    MASK_LOSS,
    EMA,
)

__all__ = [
    "ATTEND",
    "EMA",
    "FEATURE_MATCHING",
    "GELU",
    "HINGE_D_FAKE",
    "HINGE_D_REAL",
    "HINGE_G",
    "HYPER_CONV2D",
    "INSTANCE_NORM",
    "LABEL_CONV2D",
    "MASKED_L1",
    "MASK_LOSS",
    "NO_RULES",
    "ONE_HOT",
    "OPERATORS",
    "POWER_ITERATION",
    "REFERENCE_MATRIX",
    "SINGULAR_VALUES",
    "SPADE",
    "SPECTRAL_NORMALIZE",
    "SPECTRAL_NORMALIZE_ALL",
    "UPSAMPLE_CONV2D",
    "WARP",
    "WARP_AND_BLEND",
    "Candidate",
    "ClassIdError",
    "DescribedCall",
    "DtypeError",
    "Implementation",
    "ImplementationError",
    "Operator",
    "Rule",
    "Rules",
    "ShapeError",
    "VsOpsError",
    "WinogradKernel",
    "__version__",
    "attend",
    "choose",
    "ema",
    "explain",
    "feature_matching",
    "gelu",
    "hinge_d_fake",
    "hinge_d_real",
    "hinge_g",
    "hyper_conv2d",
    "instance_norm",
    "label_conv2d",
    "mask_loss",
    "masked_l1",
    "one_hot",
    "power_iteration",
    "power_iterations",
    "product_conv2d",
    "reference_matrix",
    "singular_values",
    "spade",
    "spectral_conv2d",
    "spectral_normalize",
    "spectral_normalize_all",
    "upsample_conv2d",
    "upsample_conv2d_by",
    "upsampling_kernel",
    "warp",
    "warp_and_blend",
    "winograd_conv2d",
    "winograd_kernel",
    "winograd_pays",
]
