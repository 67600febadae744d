"""What people look at of a frame that was rolled out: what training draws of it, and what its teacher knows."""

import attrs
from vs_metrics import ClipFrame
from vs_nets import FloatMap, LabelSpec
from vs_training import pictures
from vs_training.quality.scoring import FrameView, chosen_reference


def clip_frame(spec: LabelSpec, view: FrameView) -> ClipFrame:
    """Return a frame as it is drawn, with the teacher's flow.

    With references, also with the teacher's flow to the chosen one. Of a driven subject the driving frame is shown, and
    the true one only where the source can draw it.
    """
    frame = pictures.clip_frame(spec, view.truth, view.synthesis, index=view.index)
    chosen, truth = chosen_reference(view), view.truth
    knows_truth = view.driving is None or truth.regions is not None
    return attrs.evolve(
        frame,
        label_title=frame.label_title if chosen is None else label_title(spec, frame.label_title),
        real=frame.real if knows_truth else None,
        teacher_flow=truth.flow[0] if knows_truth and truth.flow is not None else None,
        reference_teacher_flow=None if chosen is None or chosen.flow is None else chosen.flow[0],
        driving=None if view.driving is None else view.driving.frames[0],
    )


def label_title(spec: LabelSpec, several: str) -> str:
    """Return what the picture of the label is called: as its maps are, or `several` where these differ."""
    titles = {kind.title if isinstance(kind, FloatMap) else several for kind in spec.kinds}
    return titles.pop() if len(titles) == 1 else several
