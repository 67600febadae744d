import attrs
from vs_train.figures import Figures, show_figures

FIGURES = Figures(
    losses={"g": 1.23456, "d": 0.5},
    images_per_second=12.345,
    skipped=2,
    replays=1,
    scales={"g": 65536.0, "d": 32768.0},
    gradient_norms={"g": 0.125, "d": 12.34},
    underflow={"g": 0.0123, "d": 0.0},
    memory_bytes=3 * 2**29,
    seconds_left=125.0,
    stage="4 frames",
)


def test_a_line_tells_everything() -> None:
    assert show_figures(FIGURES) == (
        "4 frames · g 1.235  d 0.5 · 12.3 images/s · 2 skipped · 1 replayed · scale g 65536 scale d 32768 · "
        "gradient g 0.125 gradient d 12.3 · underflow g 1.23% underflow d 0% · 1.5 GiB · 2m05s left"
    )
    plain = attrs.evolve(
        FIGURES, scales={}, skipped=0, replays=0, gradient_norms={}, underflow={}, seconds_left=None, stage=""
    )
    assert show_figures(plain) == "g 1.235  d 0.5 · 12.3 images/s · 1.5 GiB"
