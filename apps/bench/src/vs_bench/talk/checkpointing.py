"""Activation checkpointing: memory against time, and what a larger batch makes of it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import attrs
import torch
from vs_runtime import forget_peak, in_fresh_process, is_out_of_memory, peak_memory
from vs_training.config import TrainConfig

from vs_bench import memory
from vs_bench.harness import Case, Result, Series, ratio_of
from vs_bench.tables import as_record
from vs_bench.talk.columns import per_item
from vs_bench.talk.outcome import Curve, Line, Outcome, Trace, judge, line_of_ratio
from vs_bench.talk.setting import Candidate, Found, Row, Setting, measure_fitting
from vs_bench.talk.stage import config_of, one_clip, set_up, sized, step_of

Policy = Literal["none", "blocks", "all"]
POLICIES: tuple[Policy, ...] = ("none", "blocks", "all")
STEPS = 2
"""Behind the first one Adam has its averages."""
PART_FOR_MEMORY = 0.55
"""Of the time of the row."""
TALK_LESS, TALK_SLOWER, TALK_FASTER = 0.20, 1.10, 1.35


@attrs.frozen(kw_only=True)
class Probe:
    """A measurement of memory in a process of its own."""

    config: TrainConfig
    frames: int
    device: str
    threads: int


@attrs.frozen(kw_only=True)
class Needs:
    """The memory that a policy needs: measured for two batches, and what follows for others, since it is linear."""

    bytes: Mapping[int, int]

    def of(self, batch: int) -> float:
        """Return the bytes for a batch."""
        (small, low), (large, high) = sorted(self.bytes.items())[:2]
        return low + (high - low) * (batch - small) / (large - small)

    def largest(self, budget: float) -> int:
        """Return the largest batch that a budget of memory suffices for, 0 if it does for none."""
        (small, low), (large, high) = sorted(self.bytes.items())[:2]
        each = (high - low) / (large - small)
        return max(0, int(small + (budget - low) / each)) if each > 0 else large


def peak_of(probe: Probe) -> int | None:
    """Return the most bytes that training steps take beside what the process had before; None if they do not fit."""
    torch.set_num_threads(probe.threads)
    device = torch.device(probe.device)
    if device.type == "cuda":
        torch.cuda.init()
    before = memory.bytes_now(device)
    forget_peak(device)
    try:
        stage = set_up(probe.config, device)
        run = step_of(stage, one_clip(stage, batch=probe.config.loader.clips, frames=probe.frames))
        for _ in range(STEPS):
            run()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    return (peak_memory(device) or before) - before


def measure(setting: Setting) -> Outcome:
    """Measure memory in new processes, then the time of steps with the batches that fit, in turns in this one."""
    left_out: list[str] = []
    needs = measure_needs(setting, left_out)
    batches = batches_within(needs, max(setting.scale.checkpointed))
    found = measure_times(setting, batches) if batches else Found(result=None)
    height, width = setting.scale.checkpoint_size
    what = f"Clips of {setting.scale.frames} frames of {height}x{width} in O0"
    return outcome_of(
        f"{what}; memory is the peak of a new process above what it had before the networks were built.",
        Measured(needs=needs, batches=batches, base=max(setting.scale.checkpointed), result=found.result),
        (*left_out, *found.left_out),
    )


def config_with(setting: Setting, policy: Policy, batch: int) -> TrainConfig:
    """Return the configuration of a policy and a batch."""
    return config_of(
        setting.scale.street,
        *sized(*setting.scale.checkpoint_size),
        f"memory.checkpoint={policy}",
        f"loader.batch_size={batch}",
    )


def measure_needs(setting: Setting, left_out: list[str]) -> dict[Policy, Needs]:
    """Measure the memory of each policy for two batches, as far as there is time; say in `left_out` what is not."""
    if not memory.is_told(setting.device):
        left_out.append("memory: this system does not say how much of it a process has")
        return {}
    budget, needs, longest = setting.budget.part(PART_FOR_MEMORY), dict[Policy, Needs](), 0.0
    for policy in POLICIES:
        peaks: dict[int, int] = {}
        for batch in setting.scale.checkpointed:
            what = f"memory of checkpointing {policy} with batch {batch}"
            if budget.left < longest:
                left_out.append(f"{what}: left out for want of time")
                continue
            setting.say(what)
            began = budget.clock()
            peak = peak_in_new_process(setting, policy, batch)
            longest = max(longest, budget.clock() - began)
            if peak is None:
                left_out.append(f"{what}: does not fit into the memory")
            else:
                peaks[batch] = peak
        if len(peaks) == len(setting.scale.checkpointed):
            needs[policy] = Needs(bytes=peaks)
    return needs


def peak_in_new_process(setting: Setting, policy: Policy, batch: int) -> int | None:
    """Measure the memory of a policy with a batch; None if it does not fit, which may be the end of the process."""
    probe = Probe(
        config=config_with(setting, policy, batch),
        frames=setting.scale.frames,
        device=str(setting.device),
        threads=setting.threads,
    )
    try:
        return in_fresh_process(peak_of, probe)
    except MemoryError:
        return None


def batches_within(needs: Mapping[Policy, Needs], base: int) -> dict[Policy, int]:
    """Return each policy's largest batch in the memory that the batch `base` needs without checkpointing. Pure."""
    if "none" not in needs:
        return {}
    return {policy: need.largest(needs["none"].of(base)) for policy, need in needs.items()}


def name_of(policy: Policy, batch: int) -> str:
    """Return what the case of a policy and a batch is called."""
    return f"{policy}, batch {batch}"


def measure_times(setting: Setting, batches: Mapping[Policy, int]) -> Found:
    """Measure each policy with the largest batch without checkpointing, and with its own largest."""
    frames = setting.scale.frames

    def cases(policy: Policy, batch: int) -> list[Case]:
        stage = set_up(config_with(setting, policy, batch), setting.device)
        clip_of = one_clip(stage, batch=batch, frames=frames)
        return [Case(name=name_of(policy, batch), run=step_of(stage, clip_of))]

    wanted = dict.fromkeys([*((policy, batches["none"]) for policy in batches), *batches.items()])
    candidates = [
        Candidate(what=f"checkpointing {policy} with batch {batch}", make=partial(cases, policy, batch), cost=batch)
        for policy, batch in wanted
    ]
    return measure_fitting(setting, setting.budget, candidates)


@attrs.frozen(kw_only=True)
class Measured:
    """All that was measured: memory, the largest batches in that of `base` without checkpointing, times of steps."""

    needs: Mapping[Policy, Needs]
    batches: Mapping[Policy, int]
    base: int
    result: Result | None

    def images(self, policy: Policy, batch: int) -> Series | None:
        """Return the seconds for a clip of a policy with a batch, None if they were not measured."""
        cases = () if self.result is None else self.result.cases
        found = next((one for one in cases if one.name == name_of(policy, batch)), None)
        return None if found is None else per_item(found, batch)


def outcome_of(setting: str, measured: Measured, left_out: Sequence[str]) -> Outcome:
    """Return the outcome of the row. Pure."""
    lines = [line for policy in POLICIES if policy in measured.needs for line in lines_of(policy, measured)]
    result = measured.result
    return Outcome(
        setting=setting,
        lines=tuple(lines),
        left_out=tuple(left_out),
        curve=curve_of(measured.needs) if measured.needs else None,
        measured=(
            {
                "peak_bytes": {
                    policy: {str(b): peak for b, peak in need.bytes.items()} for policy, need in measured.needs.items()
                }
            },
            *(() if result is None else (as_record(result, baseline=result.cases[0].name),)),
        ),
    )


def lines_of(policy: Policy, measured: Measured) -> list[Line]:
    """Return the lines of a policy: memory, time, the largest batch, and how fast that is. Pure."""
    need, base = measured.needs[policy], measured.base
    lines = [Line(what=f"{policy}: peak memory, batch {base}", value=need.bytes[base], unit="bytes")]
    if policy != "none" and "none" in measured.needs:
        less = need.of(base) / measured.needs["none"].of(base) - 1
        lines.append(
            Line(
                what=f"{policy}: memory, batch {base}",
                talk="~-20 %",
                value=less,
                unit="share",
                verdict=judge(less, less, -TALK_LESS, most=True),
            )
        )
    return lines + time_lines(policy, measured)


def time_lines(policy: Policy, measured: Measured) -> list[Line]:
    """Return the lines of a policy about time. Pure."""
    plain = measured.images("none", measured.base)
    if plain is None:
        return []
    if policy == "none":
        return [Line(what=f"none: clips a second, batch {measured.base}", value=1 / plain.median, unit="per second")]
    lines, batch = [], measured.batches[policy]
    same, larger = measured.images(policy, measured.base), measured.images(policy, batch)
    if same is not None:
        slower = ratio_of(same, plain)
        lines.append(
            Line(
                what=f"{policy}: time, batch {measured.base}",
                talk="~+10 %",
                value=slower.value - 1,
                unit="share",
                low=slower.low - 1,
                high=slower.high - 1,
                verdict=judge(slower.low, slower.high, TALK_SLOWER, most=True),
            )
        )
    talk = "2 instead of 1"
    what = f"{policy}: largest batch in the memory of batch {measured.base} without"
    more = judge(batch, batch, 2 * measured.base)
    lines.append(Line(what=what, talk=talk, value=batch, unit="count", verdict=more))
    if larger is not None:
        what = f"{policy}: clips a second with batch {batch} over those without, batch {measured.base}"
        lines.append(line_of_ratio(what, ratio_of(plain, larger), talk="1.35x", wanted=TALK_FASTER))
    return lines


def curve_of(needs: Mapping[Policy, Needs]) -> Curve:
    """Return memory over the batch. Pure."""
    return Curve(
        title="Peak memory of training steps",
        x="batch",
        y="GiB",
        traces=tuple(
            Trace(name=policy, x=tuple(map(float, need.bytes)), y=tuple(peak / 2**30 for peak in need.bytes.values()))
            for policy, need in needs.items()
        ),
    )


ROW = Row(
    name="checkpointing",
    title="Activation checkpointing",
    says="Recomputing activations of residual blocks takes about 20 % less memory and 10 % more time, so that batch 2 "
    "fits instead of 1 on nodes of 16 GB, which is 1.35 times as fast.",
    figure="-20 % memory, +10 % time, 1.35x",
    measure=measure,
    share=2.5,
)
