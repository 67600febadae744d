"""What validations say one after the other."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_config import ConfigError
from vs_metrics import Average
from vs_training.config import BestBy, RunConfig, get_args
from vs_training.curriculum import CurriculumConfig
from vs_training.quality.course import (
    Validation,
    beats_kept,
    best_of,
    from_line,
    got_worse,
    in_words,
    to_line,
    validation_of,
    value_by,
    without_better,
)
from vs_training.quality.measures import measure_of
from vs_training.quality.scoring import ClipScores
from vs_training.quality.summary import summarise


def course(*values: float, measure: str = "ssim", every: int = 10) -> list[Validation]:
    return [
        Validation(step=every * n, scores={f"{measure}/generated": value}, clips=1, frames=4)
        for n, value in enumerate(values, start=1)
    ]


VALUES = st.lists(st.one_of(st.integers(0, 5).map(float), st.just(math.nan)), min_size=1, max_size=12)


@given(VALUES, st.sampled_from(["ssim", "warping"]))
def test_the_best_is_the_first_of_the_best_finite_values(values: list[float], measure: str) -> None:
    best = best_of(course(*values, measure=measure), measure)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        assert best is None
        assert without_better(course(*values, measure=measure), measure) == len(values)
        return
    first = values.index(max(finite) if measure == "ssim" else min(finite))
    assert best is not None
    assert best.step == 10 * (first + 1)
    assert without_better(course(*values, measure=measure), measure) == len(values) - 1 - first


@given(VALUES)
def test_what_is_kept_step_by_step_is_the_best_in_the_end(values: list[float]) -> None:
    whole, kept = course(*values), None
    for end in range(1, len(whole) + 1):
        if beats_kept(whole[:end], "ssim", kept):
            kept = whole[end - 1].step
    best = best_of(whole, "ssim")
    assert kept == (None if best is None else best.step)


@given(VALUES, st.integers(0, 11), st.integers(0, 11))
def test_after_a_kill_the_same_is_kept_in_the_end(values: list[float], killed: int, back: int) -> None:
    """Killed after some validations, the run goes on from before them: what is kept may be of a step to come."""
    whole, kept = course(*values), None
    killed = min(killed, len(whole))
    steps = [*range(1, killed + 1), *range(min(back, killed) + 1, len(whole) + 1)]
    for end in steps:
        if beats_kept(whole[:end], "ssim", kept):
            kept = whole[end - 1].step
    best = best_of(whole, "ssim")
    assert kept == (None if best is None else best.step)


def test_by_another_measure_the_kept_one_is_judged_by_that() -> None:
    both = [
        Validation(step=10 * n, scores={"ssim/generated": ssim, "warping/generated": warping})
        for n, (ssim, warping) in enumerate([(0.5, 1.0), (0.6, 3.0), (0.4, 2.0)], start=1)
    ]
    assert not beats_kept(both, "ssim", 20)
    assert beats_kept(both, "warping", 20)  # 2.0 is better than 3.0 of the one that was kept for its SSIM
    assert not beats_kept(both, "warping", 10)


def test_frames_that_are_not_finite_are_never_best() -> None:
    good, broken = (
        Validation(step=1, scores={"psnr/generated": 10.0}),
        Validation(step=2, scores={"psnr/generated": 20.0}, broken=1),
    )
    assert value_by(broken, "psnr") is None
    assert best_of([good, broken], "psnr") == good
    assert in_words(broken).endswith("; 1 of the frames are not finite")


def test_longer_clips_that_make_videos_less_steady_are_said() -> None:
    curriculum = CurriculumConfig(initial_length=2, double_every=20, max_length=8)
    told = got_worse(course(1.0, 1.0, 2.0, measure="warping"), curriculum)
    assert told == (
        "since clips have 4 frames instead of 2, videos are less steady: temporal warping error 2.00 after 1.00 levels "
        "of 255"
    )
    assert got_worse(course(1.0, 1.0, 1.04, measure="warping"), curriculum) is None  # another number, not worse
    assert got_worse(course(1.0, 2.0, measure="warping"), curriculum) is None  # clips are as long as before
    assert got_worse(course(1.0, 1.0, math.nan, measure="warping"), curriculum) is None
    assert got_worse(course(3.0, measure="warping"), curriculum) is None


def test_a_line_is_the_validation_again() -> None:
    totals = {"ssim/generated": Average(total=1.0, weight=2), "head_ssim/generated": Average()}
    report = summarise([ClipScores(name="a", frames=3, totals=totals, curves={}, broken=(1,))])
    made = validation_of(7, report)
    assert made == Validation(step=7, scores={"ssim/generated": 0.5}, clips=1, frames=3, broken=1)
    assert from_line({"step": 7, **to_line(made), "time": 3.0}) == made


def test_what_can_be_kept_is_measured() -> None:
    for name in get_args(BestBy)[1:]:
        assert measure_of(f"{name}/generated").better in ("higher", "lower")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep_best": "ssim"}, "validate_every: expected 1 or more, with keep_best, got 0"),
        ({"patience": 2, "validate_every": 5}, "keep_best: expected a measure, with patience, got 'none'"),
        ({"profile_steps": (5, 3)}, "profile_steps: expected .*rising order"),
        ({"profile_steps": (5,)}, "profile_steps: expected"),
        ({"profile_steps": (5, 20), "steps": 10}, "at most run.steps, 10"),
        ({"trackers": ("wandb", "wandb")}, r"trackers\[1\]: expected a word that no item before it is"),
        ({"trackers": ("tensorboard",)}, r"trackers\[0\]: expected one of 'wandb', 'mlflow', 'aim'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(**settings)  # type: ignore[arg-type]
