"""Names by which a step's numbers are written and shown."""

import attrs
from test_step import setup, street_clip
from vs_optim import Pair
from vs_train.numbers import UNKNOWN, by_letter, last_measured, named_losses, written
from vs_training.step import train_clip


def test_losses_carry_the_letter_of_their_network_the_discriminators_first() -> None:
    losses = Pair(generator={"flow": 1.0, "gan": 2.0}, discriminator={"gan": 3.0})
    assert list(named_losses(losses).items()) == [("d_gan", 3.0), ("g_flow", 1.0), ("g_gan", 2.0)]


def test_a_step_is_written_by_the_names_of_metrics_jsonl() -> None:
    state, recipe = setup()
    state, report = train_clip(state, street_clip(1), recipe)
    values = written(state, report)
    names = ["frames", "updates", "lr_generator", "lr_discriminator", "scale_generator", "scale_discriminator"]
    names += ["skipped_generator", "skipped_discriminator", "replays", "roll_backs"]
    norms = ["gradient_norm_discriminator", "gradient_norm_generator"]
    assert list(values) == [*named_losses(report.losses), *norms, *names]
    measured = attrs.evolve(report, gradient_norms=UNKNOWN, underflow=Pair(generator=0.25, discriminator=None))
    changed = written(state, measured)
    assert changed["underflow_generator"] == 0.25
    assert {"underflow_discriminator", *norms}.isdisjoint(changed)


def test_what_was_not_measured_is_not_shown_and_keeps_its_last_value() -> None:
    first: Pair[float | None] = Pair(generator=None, discriminator=0.5)
    assert by_letter(first) == {"d": 0.5}
    later: Pair[float | None] = Pair(generator=0.25, discriminator=None)
    assert last_measured(later, first) == Pair(generator=0.25, discriminator=0.5)
    assert last_measured(UNKNOWN, first) == first
