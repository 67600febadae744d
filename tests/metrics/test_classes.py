import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)
from vs_metrics import (
    ClassIdError,
    ShapeError,
    class_scores,
    confusions,
    masked_psnr,
    masked_ssim,
    mean_iou,
    pixel_accuracy,
)

SEEDS = st.integers(0, 2**31 - 1)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_each_class_has_the_masked_scores_of_its_pixels(seed: int) -> None:
    a, b = (torch.rand(2, 3, 14, 18, generator=random(seed + k)) * 2 - 1 for k in range(2))
    ids = torch.randint(0, 4, (2, 14, 18), generator=random(seed))
    ids[:, :3] = 255
    found = class_scores(a, b, ids, 5, min_pixels=1)
    for number in range(4):
        mask = (ids == number).float()[:, None]
        loud, pixels = masked_psnr(a, b, mask)
        torch.testing.assert_close(found.psnr[:, number], loud)
        torch.testing.assert_close(found.pixels[:, number], pixels)
        torch.testing.assert_close(found.ssim[:, number], masked_ssim(a, b, mask)[0])
        expected = np.abs((a - b).numpy()).mean(axis=1)[(ids == number).numpy()].mean()
        assert (found.l1 * found.pixels)[:, number].sum() / pixels.sum() == pytest.approx(expected, rel=1e-4)
    assert not found.pixels[:, 4].any()
    assert not found.psnr[:, 4].any()


def test_a_fault_in_one_class_is_seen_there_alone_and_small_classes_do_not_count() -> None:
    frames = torch.zeros(3, 16, 16)
    ids = torch.zeros(16, 16, dtype=torch.int64)
    ids[:, 8:], ids[0, 0] = 1, 2
    found = class_scores(frames + 0.2 * (ids == 1), frames, ids, 3)
    assert found.psnr.tolist() == pytest.approx([100.0, 20.0, 0.0], abs=1e-4)
    assert found.l1.tolist() == pytest.approx([0.0, 0.2, 0.0])
    assert found.pixels.tolist() == [127.0, 128.0, 0.0]


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_a_reading_is_judged_as_torchmetrics_does(seed: int) -> None:
    truth = torch.randint(0, 4, (2, 9, 11), generator=random(seed))
    read = torch.where(torch.rand(truth.shape, generator=random(seed + 1)) < 0.6, truth, (truth + 1) % 4)
    truth[:, :2] = 255
    counts = confusions(read, truth, 4)
    torch.testing.assert_close(counts, multiclass_confusion_matrix(read, truth, 4, ignore_index=255))
    expected = multiclass_jaccard_index(read, truth, 4, ignore_index=255).double()
    torch.testing.assert_close(mean_iou(counts), expected, rtol=1e-5, atol=1e-6)
    expected = multiclass_accuracy(read, truth, 4, average="micro", ignore_index=255).double()
    torch.testing.assert_close(pixel_accuracy(counts), expected, rtol=1e-5, atol=1e-6)


def test_classes_that_nobody_sees_do_not_count_and_of_nothing_nothing_is_known() -> None:
    counts = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert float(mean_iou(counts)) == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert math.isnan(mean_iou(torch.zeros(3, 3)))
    assert math.isnan(pixel_accuracy(torch.zeros(3, 3)))
    assert mean_iou(torch.stack([counts, 2 * counts])).shape == (2,)


def test_wrong_ids_and_shapes_are_refused() -> None:
    frames, ids = torch.zeros(3, 16, 16), torch.full((16, 16), 3)
    with pytest.raises(ClassIdError):
        class_scores(frames, frames, ids, 3)
    with pytest.raises(ShapeError, match="ids"):
        class_scores(frames, frames, ids[1:], 4)
    with pytest.raises(ClassIdError):
        confusions(ids, ids, 3)
    with pytest.raises(ShapeError, match="read"):
        confusions(ids[1:], ids, 4)
