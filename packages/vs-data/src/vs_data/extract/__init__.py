"""Labels of frames by a network in a file, or by a program, that somebody brings.

What finds and writes the folders of labels is in `places` and `run`, which know how data folders are read; what is here
is known to those who read them.
"""

from vs_data.extract.labelling import Frames, Labeller, Task, label_by_network
from vs_data.extract.networks import Network, Value
from vs_data.extract.opening import open_network
from vs_data.extract.options import ExtractKind, InputOptions, OutputOptions

__all__ = [
    "ExtractKind",
    "Frames",
    "InputOptions",
    "Labeller",
    "Network",
    "OutputOptions",
    "Task",
    "Value",
    "label_by_network",
    "open_network",
]
