import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_metrics import ClassIdError, ShapeError, VsMetricsError, class_mean_colours, paint_classes


def test_means_are_exact_over_batches_of_different_sizes() -> None:
    frames = torch.tensor([[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]], [[1.0, -1.0, 0.5]]])  # (3, H=1, W=3)
    more = torch.full((2, 3, 1, 1), 0.25)
    colours = class_mean_colours(
        [(frames, torch.tensor([[2, 2, 0]])), (more, torch.tensor([[[0]], [[255]]]))], num_classes=4
    )
    assert colours.counts.tolist() == [2, 0, 2, 0]
    torch.testing.assert_close(colours.colours[2], torch.tensor([0.25, 0.0, 0.0]))
    torch.testing.assert_close(colours.colours[0], torch.tensor([0.625, 0.125, 0.375]))
    overall = torch.tensor([1.75 / 4, 0.25 / 4, 0.75 / 4])
    torch.testing.assert_close(colours.overall, overall)
    torch.testing.assert_close(colours.colours[1], overall)  # never seen
    torch.testing.assert_close(colours.colours[3], overall)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), classes=st.integers(1, 6))
def test_painting_the_classes_is_the_best_constant_per_class(seed: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(2, 3, 3, 5, 7, generator=generator) * 2 - 1
    ids = torch.randint(0, classes, (2, 3, 5, 7), generator=generator, dtype=torch.uint8)
    colours = class_mean_colours([(frames[:1], ids[:1]), (frames[1:], ids[1:])], num_classes=classes)
    painted = paint_classes(ids, colours)
    assert painted.shape == frames.shape
    for index in range(classes):
        chosen = (ids == index)[:, :, None].expand_as(frames)
        if chosen.any():
            assert float((painted - frames)[chosen].mean()) == pytest.approx(0.0, abs=1e-5)
    again = paint_classes(ids, class_mean_colours([(painted, ids)], num_classes=classes))
    torch.testing.assert_close(again, painted, rtol=1e-5, atol=1e-6)


def test_pixels_without_a_class_are_painted_in_the_overall_mean() -> None:
    colours = class_mean_colours([(torch.full((3, 2, 2), 0.5), torch.zeros(2, 2, dtype=torch.int64))], num_classes=1)
    torch.testing.assert_close(paint_classes(torch.tensor([[0, 255]]), colours), torch.full((3, 1, 2), 0.5))


def test_ids_out_of_range_are_named() -> None:
    frames, ids = torch.zeros(3, 1, 2), torch.tensor([[0, 7]])
    with pytest.raises(ClassIdError, match=r"class id 7 is outside 0\.\.4") as caught:
        class_mean_colours([(frames, ids)], num_classes=5)
    assert (caught.value.value, caught.value.num_classes) == (7, 5)
    colours = class_mean_colours([(frames, torch.zeros_like(ids))], num_classes=5)
    with pytest.raises(ClassIdError, match="class id -1"):
        paint_classes(torch.tensor([[-1]]), colours)


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(VsMetricsError, match="no pixel"):
        class_mean_colours([], num_classes=3)
    with pytest.raises(VsMetricsError, match="no pixel"):
        class_mean_colours([(torch.zeros(3, 1, 1), torch.tensor([[255]]))], num_classes=3)


def test_frames_and_ids_that_do_not_fit_are_refused() -> None:
    plain = inspect.unwrap(class_mean_colours)
    with pytest.raises(ShapeError, match="ids has shape"):
        plain([(torch.zeros(3, 2, 2), torch.zeros(2, 3, dtype=torch.int64))], num_classes=1)
    with pytest.raises(ShapeError, match="frames has shape"):
        plain([(torch.zeros(1, 2, 2), torch.zeros(2, 2, dtype=torch.int64))], num_classes=1)
