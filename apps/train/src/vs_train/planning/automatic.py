"""`loader.batch_size = "auto"`: the number that a run begins with, and keeps in its config.toml."""

import vs_runtime as runtime
from vs_config import ConfigError, Problem
from vs_config.amounts import show_bytes, show_duration
from vs_training.config import TrainConfig
from vs_training.forecast import step_seconds

from vs_train.planning.fitting import Fitted, Limit, Say, fit, held_batches, limit_of, nothing_fits, with_batch

MOST_CLIPS = 24
"""The largest batch that is chosen unasked, the talk's: a larger one makes steps longer and no better."""


def settle_batch_size(config: TrainConfig, say: Say) -> TrainConfig:
    """Put the largest batch that memory holds in place of `auto`, at most `MOST_CLIPS`, and say so.

    Args:
        config: With the level of precision that the device settles.
        say: Told, in words, what is measured and chosen.

    Raises:
        ConfigError: Memory does not hold the smallest batch, or the system does not tell how much a process takes.
    """
    if config.loader.batch_size != "auto":
        return config
    device = runtime.choose_device(config.device)
    limit = limit_of(device)
    fitted = fit(config, limit, say)
    if fitted.memory is None:
        hint = "this system does not say how much memory a process takes"
        raise ConfigError([Problem("loader.batch_size", hint, expected="a number", got="auto")])
    batch = choose_batch(config, fitted, limit, held_batches(config, device))
    if batch == 0:
        raise ConfigError([Problem("", nothing_fits(config, limit))])
    say(_chosen(config, fitted, limit, batch, held_batches(config, device)))
    return with_batch(config, batch)


def choose_batch(config: TrainConfig, fitted: Fitted, limit: Limit, held: int, *, most: int = MOST_CLIPS) -> int:
    """Return the largest batch that fits, that has equal parts, and that is at most `most`; 0: none does."""
    if fitted.memory is None:
        return 0
    parts = config.memory.micro_batches
    fits = fitted.memory.largest_batch(limit.bytes, config.curriculum.max_length, held=held)
    return min(fits, max(most, parts)) // parts * parts


def _chosen(config: TrainConfig, fitted: Fitted, limit: Limit, batch: int, held: int) -> str:
    longest = config.curriculum.max_length
    needed = 0.0 if fitted.memory is None else fitted.memory.bytes_of(batch, longest, held=held)
    seconds = step_seconds(fitted.times.of_batch(batch), length=longest, workers=config.loader.workers)
    most = ", the most that is chosen unasked" if batch + config.memory.micro_batches > MOST_CLIPS else ""
    return (
        f"loader.batch_size=auto: {batch}{most}; the longest clips need about {show_bytes(needed)} of {limit}, and "
        f"{show_duration(seconds)} a step"
    )
