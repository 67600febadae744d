"""Labels of frames by a network in an ONNX file, or by a program, that somebody brings."""

from vs_data.extract.labelling import Labeller, Task, label_by_network
from vs_data.extract.networks import Network, Value, open_network
from vs_data.extract.options import ExtractKind, InputOptions, OutputOptions
from vs_data.extract.places import Place, find_place
from vs_data.extract.programs import label_by_program
from vs_data.extract.run import Extraction, Wanted, extract_labels

__all__ = [
    "ExtractKind",
    "Extraction",
    "InputOptions",
    "Labeller",
    "Network",
    "OutputOptions",
    "Place",
    "Task",
    "Value",
    "Wanted",
    "extract_labels",
    "find_place",
    "label_by_network",
    "label_by_program",
    "open_network",
]
