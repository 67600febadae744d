"""Motion of frames out of files and networks: formats, directions, trust, whether it can be true."""

from vs_data.flows.directions import backward_of, consistency
from vs_data.flows.formats import FLOW_ALONE, FLOW_EXTENSIONS, read_flow
from vs_data.flows.places import MotionFiles, flow_folders, motion_files
from vs_data.flows.reading import read_backward, through
from vs_data.flows.words import flow_in_word, flow_word, said_of_flow

__all__ = [
    "FLOW_ALONE",
    "FLOW_EXTENSIONS",
    "MotionFiles",
    "backward_of",
    "consistency",
    "flow_folders",
    "flow_in_word",
    "flow_word",
    "motion_files",
    "read_backward",
    "read_flow",
    "said_of_flow",
    "through",
]
