"""Labels of other sizes: what the generator gets has its stride, and frames come back where labels were."""

import attrs
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from label_examples import EXAMPLES, SIZE, Example, write_examples, written_array
from toy_runs import STREET
from vs_data import AugmentConfig, ClipRequest, FolderConfig, LabelKind, NoFlowConfig, open_folder
from vs_nets import ConstantStart
from vs_synthesis import Fit, SizeError, model_config, plan_fit
from vs_synthesis.fit import fit_labels, fit_picture, shown_labels, unfit_frame

CONFIG = model_config(STREET)
STRIDE = CONFIG.generator.stride

sides = st.integers(STRIDE, 6 * STRIDE)
ways = st.sampled_from(["crop", "pad", "resize"])


def pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and a picture that both say where a pixel is."""
    place = torch.arange(height)[:, None] * width + torch.arange(width)
    return place, torch.stack([place.float()] * 3) / (height * width)


@given(height=sides, width=sides, way=ways)
def test_the_generator_gets_its_stride_and_frames_have_the_size_that_is_said(height, width, way):
    fit = plan_fit((height, width), CONFIG, way)
    ids, picture = pictures(height, width)
    labels = fit_labels(fit, {"seg_maps": ids})
    assert labels["seg_maps"].shape == fit.inner == fit_picture(fit, picture).shape[1:]
    assert all(side % STRIDE == 0 and side > 0 for side in fit.inner)
    assert set(labels["seg_maps"].unique().tolist()) <= set(ids.unique().tolist())
    frame = unfit_frame(fit, fit_picture(fit, picture))
    assert frame.shape[1:] == fit.frame == shown_labels(fit, {"seg_maps": ids})["seg_maps"].shape
    assert (way == "crop") or fit.frame == (height, width)
    assert bool(fit.describe()) == (fit.inner != fit.own)


@given(height=sides, width=sides)
def test_padding_and_cutting_back_is_the_picture_itself_and_a_crop_its_middle(height, width):
    _, picture = pictures(height, width)
    pad, crop = (plan_fit((height, width), CONFIG, way) for way in ("pad", "crop"))
    assert torch.equal(unfit_frame(pad, fit_picture(pad, picture)), picture)
    assert torch.equal(
        fit_picture(pad, picture)[:, height - 1 :, :width], picture[:, -1:].expand(-1, pad.inner[0] - height + 1, -1)
    )
    top, left = ((own - inner) // 2 for own, inner in zip(crop.own, crop.inner, strict=True))
    assert torch.equal(fit_picture(crop, picture), picture[:, top : top + crop.inner[0], left : left + crop.inner[1]])


@given(height=sides, width=sides)
def test_ids_are_resized_as_opencv_does_exactly(height, width):
    ids, _ = pictures(height, width)
    fit = plan_fit((height, width), CONFIG, "resize")
    expected = cv2.resize(ids.numpy().astype(np.float32), fit.inner[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.array_equal(fit_labels(fit, {"seg_maps": ids})["seg_maps"].numpy(), expected)


def test_a_size_that_fits_goes_as_it_is_whatever_is_allowed():
    for way in (None, "crop", "pad", "resize"):
        fit = plan_fit((2 * STRIDE, 3 * STRIDE), CONFIG, way)
        assert fit.inner == fit.own
        assert fit.way is None
        assert fit.describe() == ""


def test_what_does_not_fit_is_one_line_that_says_what_may_be_done():
    with pytest.raises(
        SizeError, match=f"33x40 pixels, which the model's stride of {STRIDE} does not divide; choose --fit"
    ):
        plan_fit((33, 40), CONFIG)
    with pytest.raises(SizeError, match="larger than they are; choose --fit pad or resize"):
        plan_fit((STRIDE - 1, 40), CONFIG, "crop")
    assert plan_fit((STRIDE - 1, 40), CONFIG, "pad").inner == (STRIDE, 40)


def test_a_learned_start_and_a_subject_have_one_size():
    start = ConstantStart(height=4, width=8)
    only = attrs.evolve(CONFIG, generator=attrs.evolve(CONFIG.generator, start=start))
    fixed = (4 << CONFIG.generator.levels, 8 << CONFIG.generator.levels)
    assert plan_fit(fixed, only).way is None
    for way in (None, "pad", "crop"):
        with pytest.raises(SizeError, match=f"have to be {fixed[0]}x{fixed[1]}; choose --fit resize"):
            plan_fit((64, 64), only, way)
    assert plan_fit((64, 64), only, "resize").inner == fixed
    assert plan_fit((40, 40), CONFIG, "resize", wanted=(32, 32)).inner == (32, 32)


def read_as_in_training(root, kind: LabelKind, size: tuple[int, int]) -> torch.Tensor:
    """Return the label of the only frame as training reads it at a size that its file does not have."""
    config = FolderConfig(
        root=str(root),
        height=size[0],
        width=size[1],
        labels=(kind,),
        flow=NoFlowConfig(),
        augment=AugmentConfig(keep_aspect=False),
        min_frames=1,
    )
    return open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=1, seed=0)).labels[kind.folder][0]


@pytest.mark.parametrize("name", ["ids", "densepose", "foreground", "motion"])
def test_what_is_resized_says_what_training_reads_of_the_same_file(name, tmp_path):
    example = EXAMPLES[name]
    if name == "motion":  # the same everywhere: ways to interpolate differ
        everywhere = np.full((*SIZE, 2), (6.0, -5.0), np.float32)
        example = Example(kind=example.kind, extension=".npy", write=written_array(lambda _: everywhere))
    write_examples(tmp_path, example, frames=1)
    for inner in ((16, 48), (96, 96)):
        fit = Fit(own=SIZE, inner=inner, labels=(example.kind,), way="resize")
        label = fit_labels(fit, {example.kind.folder: read_as_in_training(tmp_path, example.kind, SIZE)})
        torch.testing.assert_close(label[example.kind.folder], read_as_in_training(tmp_path, example.kind, inner))
