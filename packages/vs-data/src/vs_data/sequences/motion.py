"""Motion of frames of which there are labels alone, for models that do not estimate it themselves."""

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from vs_data.errors import DataError
from vs_data.flow import FlowFilesConfig
from vs_data.flows import MotionFiles, through
from vs_data.geometry import Geometry
from vs_data.labels import source_of
from vs_data.sequences.frames import LabelRequest

FlowAndConfidence: TypeAlias = tuple[Tensor, Tensor]
"""(2,H,W) and (1,H,W) float32, as in a clip."""


def read_motion(files: MotionFiles | None, config: FlowFilesConfig, geometry: Geometry) -> FlowAndConfidence:
    """Read the motion of a frame through a geometry; None: of the first frame, both are zero.

    It is what clips of a folder have: flow of which nobody tells how far to trust it is trusted wherever it points into
    the picture. Confidence by the frames (photometric) cannot be: there are none.

    Raises:
        DataError: a file is bad, or not of the size that the geometry begins with.
    """
    if files is None:
        return torch.zeros(2, *geometry.size), torch.zeros(1, *geometry.size)
    flow, confidence, _ = through(files, config, geometry)
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1))), torch.from_numpy(confidence[None])


def refuse_motion(how: LabelRequest, source: str, what: str) -> None:
    """Raise `DataError` where motion is wanted from a source of labels that cannot hold any."""
    if how.motion is not None:
        folders = dict.fromkeys((*map(source_of, how.kinds), how.motion.folder))
        names = " and ".join(f"{folder}/SEQ" for folder in folders)
        fix = f"name a data folder with {names} in it (data:extract --kind flow writes motion), or a world"
        raise DataError(f"the model takes the motion of each frame too, of which {what} has none", file=source, fix=fix)
