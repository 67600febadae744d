"""Motion among the folders beside pictures: files of flow, how they are read, and what says where to trust them."""

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import numpy as np

from vs_data.content import Content, content_in
from vs_data.errors import DataError
from vs_data.flow import FlowFilesConfig, ForwardBackwardConfig, OcclusionConfig
from vs_data.flows import FLOW_ALONE, FLOW_EXTENSIONS, flow_folders, read_flow
from vs_data.flows.places import MASK_EXTENSIONS
from vs_data.flows.plausible import explanation, in_words
from vs_data.layout import FrameFiles
from vs_data.pictures import inspect_stored, inspect_wide_ids
from vs_data.survey.holdings import Holding, says


@attrs.frozen(kw_only=True)
class Motion:
    """The motion that lies beside some pictures.

    Attributes:
        flow: How the files of flow are read; None: there are none.
        why: Field of that -> what was seen that says so, in a few words.
        questions: What could not be told, or was left out.
        folders: Those that hold motion or what belongs to it, and no labels.
    """

    flow: FlowFilesConfig | None = None
    why: Mapping[str, str] = attrs.Factory(dict)
    questions: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()


def find_motion(holdings: Sequence[Holding], sequences: Sequence[FrameFiles]) -> Motion:
    """Say which of some folders hold motion, and how it is read.

    One folder of flow is taken, and what says where to trust it: masks of what is hidden, or else flow of the other
    direction.

    Args:
        holdings: What is in the folders beside the pictures, of which no file is missing.
        sequences: Of the data.
    """
    flows: dict[str, Literal["backward", "forward"]] = {}
    left_out = {}
    for holding in holdings:
        try:
            if _is_flow(holding):
                flows[holding.folder] = _direction(holding.folder, sequences)
        except DataError as failure:
            left_out[holding.folder] = str(failure)
    if not flows:
        return Motion(questions=_told(left_out), folders=frozenset(left_out))
    first = min(flows, key=lambda folder: (folder != FlowFilesConfig().folder, flows[folder] != "backward"))
    flow, why, questions = _as_frames_say(FlowFilesConfig(folder=first, direction=flows[first]), sequences)
    trusted, why_trusted = _trust(flow, [each for each in holdings if each.folder not in flows], flows)
    read = {folder.name for folder in flow_folders(trusted)}
    left_out |= {folder: "more motion" for folder in flows if folder not in read}
    return Motion(
        flow=trusted,
        why={**why, **why_trusted},
        questions=(*questions, *_told(left_out)),
        folders=frozenset({*flows, *left_out, *read}),
    )


def _told(left_out: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{folder} was left out: {why}" for folder, why in left_out.items())


def _is_flow(holding: Holding) -> bool:
    """Return whether files are of flow: by their format, or where they could be pictures and numbers, by more.

    Raises:
        DataError: they should be flow, and cannot be read as such.
    """
    ending, content = holding.ending, holding.contents[0]
    if ending not in FLOW_EXTENSIONS:
        return False
    if ending in FLOW_ALONE or holding.folder == FlowFilesConfig().folder:
        read_flow(content)
        return True
    try:
        if says(holding.folder, "flow") or (ending == ".png" and _marks_what_is_known(content)):
            read_flow(content)
            return True
    except DataError:
        pass  # a picture or numbers, of which others can say what is wrong
    return False


def _marks_what_is_known(content: Content) -> bool:
    """Return whether a picture is laid out as KITTI's flow: 16 bits RGB, with nothing but 0 and 1 in blue."""
    values = inspect_stored(content).values
    return values.dtype == np.uint16 and values.shape[2] == 3 and int(values[..., 2].max()) == 1


def _direction(folder: str, sequences: Sequence[FrameFiles]) -> Literal["backward", "forward"]:
    """Return where flow leads: to the next frame where the first frame has some and the last has none."""
    long = [files.files[folder] for files in sequences if folder in files.files and len(files.frames) > 1]
    ends = {(content_in(files, 0) is None, content_in(files, files.count - 1) is None) for files in long}
    return "forward" if ends == {(False, True)} else "backward"


def _as_frames_say(
    flow: FlowFilesConfig, sequences: Sequence[FrameFiles]
) -> tuple[FlowFilesConfig, dict[str, str], list[str]]:
    """Read flow in the way that explains the frames, if it does so much better than the usual one.

    Returns:
        The flow; field of it -> why; what cannot be told.
    """
    why = {} if flow.direction == "backward" else {"direction": "the first frames have files, the last have none"}
    files = next((files for files in sequences if flow.folder in files.files and len(files.frames) > 1), None)
    told = None if files is None else explanation(flow, files)
    if told is None or not told.better:
        return flow, why, []
    best, *others = told.ways
    saw = f"the frames differ by {told.best:.3g} levels of 255 where it is followed so, else by {told.own:.3g}"
    several = f"{' or '.join(map(in_words, others))} of data.flow explains the frames as well as {in_words(best)}"
    questions = [f"{several}: whoever wrote the files knows which"] if others else []
    return attrs.evolve(flow, **dict(best)), why | {name: saw for name, _ in best}, questions


def _trust(
    flow: FlowFilesConfig, others: Sequence[Holding], flows: Mapping[str, str]
) -> tuple[FlowFilesConfig, dict[str, str]]:
    """Say where flow is to be trusted, by files beside it, and why; as usual where there are none."""
    masks = next((each for each in others if _are_masks(each)), None)
    if masks is not None:
        hidden = float(np.mean([(inspect_wide_ids(content).ids > 0).mean() for content in masks.sample]))
        how = OcclusionConfig(folder=masks.folder, occluded="nonzero" if hidden <= 0.5 else "zero")
        said = "not 0" if how.occluded == "nonzero" else "0"
        why = f"masks in {masks.folder}: what is {said} is less, so it is taken for hidden"
        return attrs.evolve(flow, confidence=how), {"confidence": why}
    forward = next((name for name, way in flows.items() if way == "forward" and name != flow.folder), None)
    if forward is not None and flow.direction == "backward":
        why = f"flow to the next frame is in {forward}: what leads there and back is trusted"
        return attrs.evolve(flow, confidence=ForwardBackwardConfig(folder=forward)), {"confidence": why}
    return flow, {}


def _are_masks(holding: Holding) -> bool:
    """Return whether files are masks of what is hidden, by their folder's name and their format."""
    if not says(holding.folder, "occl") or holding.ending not in MASK_EXTENSIONS:
        return False
    try:
        inspect_wide_ids(holding.contents[0])
    except DataError:
        return False
    return True
