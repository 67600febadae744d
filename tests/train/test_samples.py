"""Pictures beside the curves are the pictures of the samples."""

import torch
from vs_metrics import frame_to_uint8
from vs_nets import Synthesis
from vs_train.samples import curve_picture


def test_the_picture_beside_the_curves_has_the_nearest_levels_as_all_pictures_have() -> None:
    levels = torch.linspace(0, 255, 3 * 4 * 100).reshape(1, 3, 4, 100)
    frame = levels / 127.5 - 1
    picture = curve_picture(Synthesis(frame=frame))
    assert (picture.shape, picture.dtype) == ((3, 4, 100), torch.uint8)
    assert float((picture - levels[0]).abs().max()) <= 0.5001
    assert (picture.movedim(0, -1).numpy() == frame_to_uint8(frame)[0]).all()
