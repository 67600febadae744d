"""What can be wrong with the data of a run, looked at before any step is made of them."""

import itertools
from collections.abc import Callable, Sequence
from typing import assert_never

import vs_nets as nets
from vs_config import refuse, shown
from vs_data import (
    ClipSource,
    DancersConfig,
    DisFlowConfig,
    FacesConfig,
    FlowFilesConfig,
    NetworkFlowConfig,
    PhotometricConfig,
    SequenceInfo,
    SourceConfig,
    StoredConfig,
    StreetConfig,
    VsDataError,
    check_lengths,
    check_roots,
    every_so_often,
    look_at_folder,
)
from vs_data.folder import FolderSource, flow_trusted_by_frames

from vs_training.config import ReferencesConfig, TrainConfig
from vs_training.curriculum import left_out_at_last, references_inside
from vs_training.errors import VsTrainingError


def check_data(config: SourceConfig, watch: Callable[[str], None]) -> tuple[str, ...]:
    """Open every file of a folder before any step is made of them, and return what was found, in words.

    Raises:
        DataError: something is wrong; the first finding, and how many more there are.
    """
    match config:
        case StreetConfig() | FacesConfig() | DancersConfig():
            return ()
        case StoredConfig():
            looked = (
                look_at_folder(config, split, progress=every_so_often(f"looking at the {split} data", watch))
                for split in check_roots(config)
            )
            return tuple(itertools.chain.from_iterable(looked))
        case _:
            assert_never(config)


def check_trust(config: TrainConfig, source: ClipSource) -> tuple[str, ...]:
    """Warn where motion is given and the true frames say it, or how far to trust it: they are not there at synthesis.

    Raises:
        DataError: a file of flow is bad.
    """
    match config.generator, source:
        case nets.GeneratorConfig(flow=nets.GivenFlow()), FolderSource():
            return _asked_of_frames(source)
        case _:
            return ()


def _asked_of_frames(source: FolderSource) -> tuple[str, ...]:
    teacher = source.config.flow
    if isinstance(teacher, DisFlowConfig | NetworkFlowConfig):
        what = (
            f"data.flow.kind={teacher.kind} finds the motion that is given in the true frames, and synthesis has none"
        )
        fix = f"there it is read from {FlowFilesConfig().folder}/SEQ, which data:extract --kind flow can write"
        return (f"warning: {what}; {fix}",)
    file = flow_trusted_by_frames(source)
    if file is None:
        return ()
    kind = PhotometricConfig.kind
    what = f"{shown(file)} has no confidence, for which data.flow.confidence.kind={kind} asks the true frames"
    fix = "synthesis has none and trusts it; new runs: trusted, occlusion or forward-backward, alike in both"
    return (f"warning: {what}; {fix}",)


def check_sequences(config: TrainConfig, source: ClipSource) -> tuple[str, ...]:
    """See that there are sequences for clips and references, and return what is to be said of those too short.

    Raises:
        VsTrainingError: clips are longer than the sequences, or a sequence has no frame for a reference.
        ConfigError: the sequences have too few frames for the references.
    """
    alone = {"flow_length": config.curriculum.flow_length} if config.curriculum.flow_steps else {}
    for name, length in {**alone, "max_length": config.curriculum.max_length}.items():
        try:
            check_lengths(source, length)
        except VsDataError as error:
            raise VsTrainingError(f"curriculum.{name}: {error}") from error
    notes = [left_out_at_last(config.curriculum, source.sequences, config.run.steps)]
    if config.references is not None:
        check_references(config.references, source.sequences)
        notes.append(references_inside(config.references.max, config.curriculum, source.sequences, config.run.steps))
    return tuple(note for note in notes if note is not None)


def check_references(config: ReferencesConfig, sequences: Sequence[SequenceInfo]) -> None:
    """See that references can show something else than the frame that is to be generated from them.

    Raises:
        VsTrainingError: a sequence has a single frame.
        ConfigError: all of them have too few for the most references.
    """
    longest = max(sequences, key=lambda info: info.frames)
    for info in sequences:
        if info.frames == 1:
            raise VsTrainingError(
                f"references: sequence '{info.name}' has 1 frame, which would be its own reference; add frames to it "
                "or remove it"
            )
    if config.max >= longest.frames:
        hint = f"the longest sequence, '{longest.name}', has {longest.frames} frames, one of which is generated"
        raise refuse("references.max", f"at most {longest.frames - 1}", config.max, hint)
