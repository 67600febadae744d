"""A trained model in use: model directories, and streams of frames."""

from vs_synthesis.card import model_card
from vs_synthesis.config import ModelConfig, model_config
from vs_synthesis.contents import ModelContents, TrainingWeights, Weights, build_averaged
from vs_synthesis.directory import is_model, read_model, write_model
from vs_synthesis.errors import ModelError, VsSynthesisError
from vs_synthesis.fit import Fit, SizeError, plan_fit
from vs_synthesis.graphed import GraphedStream, start_graphed
from vs_synthesis.model import Computing, Model, build_model, find_run, load_model, precision_of, read_trained
from vs_synthesis.origin import origin_of, read_origin
from vs_synthesis.rollout import Made, encode_references, label_request, picture_of, synthesise_sequence
from vs_synthesis.runs import Which, read_run
from vs_synthesis.settings import folder_for, held_out_in, settings_of, training_config
from vs_synthesis.stream import (
    Labels,
    Stream,
    StreamError,
    StreamState,
    advance,
    encode_subject,
    restored_state,
    start,
    state_tensors,
    synthesise,
)

__version__ = "0.1.0"

__all__ = [
    "Computing",
    "Fit",
    "GraphedStream",
    "Labels",
    "Made",
    "Model",
    "ModelConfig",
    "ModelContents",
    "ModelError",
    "SizeError",
    "Stream",
    "StreamError",
    "StreamState",
    "TrainingWeights",
    "VsSynthesisError",
    "Weights",
    "Which",
    "advance",
    "build_averaged",
    "build_model",
    "encode_references",
    "encode_subject",
    "find_run",
    "folder_for",
    "held_out_in",
    "is_model",
    "label_request",
    "load_model",
    "model_card",
    "model_config",
    "origin_of",
    "picture_of",
    "plan_fit",
    "precision_of",
    "read_model",
    "read_origin",
    "read_run",
    "read_trained",
    "restored_state",
    "settings_of",
    "start",
    "start_graphed",
    "state_tensors",
    "synthesise",
    "synthesise_sequence",
    "training_config",
    "write_model",
]
