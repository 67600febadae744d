"""Fused Adam in a whole training step, over the size of the network."""

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import torch
import vs_optim as optim
from torch import nn

from vs_bench.harness import Case, Ratio, Result, ratio_of
from vs_bench.tables import as_record
from vs_bench.talk.outcome import Curve, Line, Outcome, Trace, judge
from vs_bench.talk.setting import Candidate, Row, Setting, measure_fitting, share_of
from vs_bench.talk.stage import Optimizers, Stage, config_of, one_clip, set_up, sized, step_of

AdamName = Literal["sequential", "foreach", "fused", "apex"]
SEQUENTIAL: Literal["sequential"] = "sequential"
FUSED = "fused"
ALONE = ", Adam alone"
TALK_GAIN = 1.07
GROWTH, SHARES = 2.5, 1.5
"""From one size to the next: of the time of a step, about, and of the time for measuring."""


@attrs.frozen(kw_only=True)
class Size:
    """A network that was measured: its parameters, those of the discriminators among them, and its steps."""

    parameters: int
    result: Result

    def gain(self, name: str, what: str = "") -> Ratio:
        """Return how many times as fast an implementation is as the sequential one, in `what`."""
        return ratio_of(self.result.case(SEQUENTIAL + what), self.result.case(name + what))


def implementations(device: torch.device) -> tuple[AdamName, ...]:
    """Return what can be measured on a device beside the sequential Adam."""
    apex = device.type == "cuda" and optim.find_apex().usable
    return ("foreach", "fused", "apex") if apex else ("foreach", "fused")


def measure(setting: Setting) -> Outcome:
    """Measure a whole step with every implementation of Adam, for one size of the network after the other."""
    names = implementations(setting.device)
    height, width = setting.scale.adam_size
    sizes: list[Size] = []
    left_out: list[str] = []
    expected = 0.0
    weights = [SHARES**index for index in range(len(setting.scale.filters))]
    for index, (fewest, most) in enumerate(setting.scale.filters):
        built: list[Stage] = []

        def cases(built: list[Stage] = built, fewest: int = fewest, most: int = most) -> list[Case]:
            filters = (f"generator.filters={fewest}", f"generator.max_filters={most}")
            config = config_of(setting.scale.street, *sized(height, width), *filters, "loader.batch_size=1")
            built.append(set_up(config, setting.device))
            return cases_of(built[0], names, setting.scale.frames)

        budget = setting.budget.part(share_of(weights, index))
        candidate = Candidate(what=f"Adam, {fewest} filters", make=cases, expected=expected)
        found = measure_fitting(setting, budget, [candidate])
        left_out += found.left_out
        expected = GROWTH * (found.seconds or expected)
        if found.result is not None:
            sizes.append(Size(parameters=parameters_of(built[0]), result=found.result))
    if "apex" not in names:
        why = "it needs CUDA" if setting.device.type != "cuda" else optim.find_apex().reason
        left_out.append(f"NVIDIA apex: not measured, {why}")
    what = f"A whole step on a clip of {setting.scale.frames} frames of {height}x{width}, one clip a batch, O0"
    return outcome_of(sizes, names, f"{what}; its Adam alone beside it.", left_out)


def parameters_of(stage: Stage) -> int:
    """Count what the optimizers of a stage step."""
    networks = stage.state.networks
    return sum(one.numel() for one in (*networks.generator.parameters(), *networks.discriminator.parameters()))


def cases_of(stage: Stage, names: Sequence[AdamName], frames: int) -> list[Case]:
    """Return two cases for each implementation: the whole step, and the steps of both optimizers by themselves."""
    clip_of = one_clip(stage, batch=1, frames=frames)
    cases = []
    for name in (SEQUENTIAL, *names):
        optimizers = optimizers_of(stage, name)
        cases.append(Case(name=name, run=step_of(stage, clip_of, optimizers=optimizers)))
        cases.append(Case(name=name + ALONE, run=_steps_alone(optimizers)))
    return cases


def optimizers_of(stage: Stage, name: AdamName) -> Optimizers:
    """Return Adam of both networks of a stage, in an implementation."""
    networks, configs = stage.state.networks, stage.config.optim
    return optim.Pair(
        generator=_adam(name, networks.generator, configs.generator),
        discriminator=_adam(name, networks.discriminator, configs.discriminator),
    )


def _adam(name: AdamName, network: nn.Module, config: optim.AdamConfig) -> torch.optim.Optimizer:
    if name == "sequential":
        return torch.optim.Adam(
            network.parameters(), lr=config.lr, betas=config.betas, eps=config.eps, foreach=False, fused=False
        )
    return optim.build_adam(network.parameters(), attrs.evolve(config, impl=name))[0]


def _steps_alone(optimizers: Optimizers) -> Callable[[], None]:
    """Return the steps by themselves, on the gradients that a whole step has left."""

    def run() -> None:
        optimizers.generator.step()
        optimizers.discriminator.step()

    return run


def outcome_of(sizes: Sequence[Size], names: Sequence[str], setting: str, left_out: Sequence[str]) -> Outcome:
    """Return the outcome of the row. Pure."""
    return Outcome(
        setting=setting,
        lines=tuple(line for size in sizes for line in lines_of(size, names)),
        findings=findings_of(sizes),
        left_out=tuple(left_out),
        curve=curve_of(sizes, names) if len(sizes) > 1 else None,
        measured=tuple({"parameters": one.parameters, **as_record(one.result, baseline=SEQUENTIAL)} for one in sizes),
    )


def lines_of(size: Size, names: Sequence[str]) -> tuple[Line, ...]:
    """Return the lines of one size of the network. Pure."""
    millions = f"{size.parameters / 1e6:.1f} M parameters"
    lines = [
        Line(what=f"{millions}: a step with sequential Adam", value=size.result.case(SEQUENTIAL).median, unit="seconds")
    ]
    for name in names:
        step, alone = size.gain(name), size.gain(name, ALONE)
        asked = name == FUSED
        lines.append(
            Line(
                what=f"{millions}: a step with {name}, speed gain",
                talk="~7 %" if asked else "",
                value=step.value - 1,
                unit="share",
                low=step.low - 1,
                high=step.high - 1,
                verdict=judge(step.low, step.high, TALK_GAIN) if asked else "",
                note=f"Adam alone: {alone.value:.1f}x",
            )
        )
    return tuple(lines)


def findings_of(sizes: Sequence[Size]) -> tuple[str, ...]:
    """Say whether the gain grows with the network. Pure."""
    if len(sizes) < 2:
        return ()
    small, large = sizes[0].gain(FUSED), sizes[-1].gain(FUSED)
    ends = (
        f"{small.value - 1:+.0%} at {sizes[0].parameters / 1e6:.1f} M parameters, "
        f"{large.value - 1:+.0%} at {sizes[-1].parameters / 1e6:.1f} M"
    )
    verdict = judge(large.low - small.high, large.high - small.low, 0)
    words = {
        "holds": "holds: the gain of fused Adam grows",
        "does not hold": "does not hold: the gain of fused Adam shrinks",
    }.get(verdict, "cannot be told from these times: the gain of fused Adam was")
    return (f'"The larger the network, the more speed gain" {words}, {ends}.',)


def curve_of(sizes: Sequence[Size], names: Sequence[str]) -> Curve:
    """Return the gain over the size of the network. Pure."""
    return Curve(
        title="A whole step with Adam in another implementation",
        x="million parameters",
        y="times as fast as sequential Adam",
        traces=tuple(
            Trace(
                name=name,
                x=tuple(round(one.parameters / 1e6, 1) for one in sizes),
                y=tuple(one.gain(name).value for one in sizes),
                low=tuple(one.gain(name).low for one in sizes),
                high=tuple(one.gain(name).high for one in sizes),
            )
            for name in names
        ),
        talk=TALK_GAIN,
    )


ROW = Row(
    name="adam",
    title="Fused Adam in a whole step",
    says="Fused Adam updates all parameters in parallel, Adam one after the other: about 7 % speed gain for vid2vid; "
    "the larger the network, the more.",
    figure="+7 %",
    measure=measure,
    share=2,
)
