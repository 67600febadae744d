"""How a check looks at one file of a folder: at all of it, or at its header alone."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from vs_data.content import Content
from vs_data.flow import FlowFilesConfig, ForwardBackwardConfig, OcclusionConfig, flow_files
from vs_data.flows.reading import read_occlusion, read_vectors
from vs_data.labels import handler_of, has_files
from vs_data.layout import IMAGES
from vs_data.pictures import inspect_rgb, inspect_size
from vs_data.plausible import picture_trace
from vs_data.seen import Seen, Size, size_of
from vs_data.stored import StoredConfig

Look: TypeAlias = Callable[[Content, Size | None], Seen]
"""(file, size of the frame's image where that is known) -> what was seen in the file."""


def looks_of(config: StoredConfig, *, decode: bool) -> list[tuple[str, Look]]:
    """Return, by folder, how to look at one of its files, given the size of the frame's image where that is known."""
    flow = flow_files(config.flow)
    return [
        (IMAGES, _look_at_picture if decode else _look_at_header),
        *((kind.folder, handler_of(kind).look) for kind in filter(has_files, config.labels)),
        *(() if flow is None else _looks_at_motion(flow)),
    ]


def _looks_at_motion(config: FlowFilesConfig) -> Iterator[tuple[str, Look]]:
    look = partial(_look_at_flow, config)
    yield config.folder, look
    match config.confidence:
        case OcclusionConfig() as masks:
            yield masks.folder, partial(_look_at_mask, masks)
        case ForwardBackwardConfig(folder=other):
            yield other, look
        case _:
            pass


def _look_at_flow(config: FlowFilesConfig, content: Content, picture: Size | None) -> Seen:
    return Seen(size=size_of(read_vectors(content, config, picture)[0]))


def _look_at_mask(config: OcclusionConfig, content: Content, picture: Size | None) -> Seen:
    return Seen(size=size_of(read_occlusion(content, config, picture)))


def _look_at_picture(content: Content, _picture: Size | None) -> Seen:
    picture = inspect_rgb(content)
    return Seen(size=size_of(picture.pixels), trace=picture_trace(picture.pixels), notes=picture.notes)


def _look_at_header(content: Content, _picture: Size | None) -> Seen:
    size, notes = inspect_size(content)
    return Seen(size=size, notes=notes)
