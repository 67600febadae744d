"""Adam: the choice of implementation, NVIDIA apex by contract, its namesake, and agreement of all of them."""

import importlib
import importlib.util
import math
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from vs_config import ConfigError
from vs_optim import AdamConfig, AdamError, adam_state, build_adam, find_apex, set_lr, step_if_finite
from vs_optim.adam import ApexStatus, choose_adam, make_adam

# NVIDIA apex's FusedAdam as it documents itself: this signature, a step count per group, moments per parameter.
NVIDIA = """
import torch


class FusedAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, bias_correction=True, betas=(0.9, 0.999), eps=1e-8, adam_w_mode=True,
                 weight_decay=0., amsgrad=False, set_grad_none=True, capturable=False, master_weights=False):
        if amsgrad:
            raise RuntimeError('FusedAdam does not support the AMSGrad variant.')
        defaults = dict(lr=lr, bias_correction=bias_correction, betas=betas, eps=eps, weight_decay=weight_decay)
        super().__init__(params, defaults)
        self.adam_w_mode = 1 if adam_w_mode else 0
        self.set_grad_none = set_grad_none

    def zero_grad(self):
        for group in self.param_groups:
            for p in group['params']:
                p.grad = None

    @torch.no_grad()
    def step(self, closure=None, grads=None, output_params=None, scale=None, grad_norms=None, grad_scaler=None):
        for group in self.param_groups:
            group['step'] = group['step'] + 1 if 'step' in group else 1
            b1, b2 = group['betas']
            for p in group['params']:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state['exp_avg'] = torch.zeros_like(p, dtype=torch.float)
                    state['exp_avg_sq'] = torch.zeros_like(p, dtype=torch.float)
                g = p.grad if self.adam_w_mode else p.grad + group['weight_decay'] * p
                state['exp_avg'].mul_(b1).add_(g, alpha=1 - b1)
                state['exp_avg_sq'].mul_(b2).addcmul_(g, g, value=1 - b2)
                m = state['exp_avg'] / (1 - b1 ** group['step'])
                v = state['exp_avg_sq'] / (1 - b2 ** group['step'])
                update = m / (v.sqrt() + group['eps'])
                if self.adam_w_mode:
                    update = update + group['weight_decay'] * p
                p.sub_(update, alpha=group['lr'])
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in front of `sys.path`, and no trace of any apex before or after."""

    def forget() -> None:
        for name in [n for n in sys.modules if n == "apex" or n.startswith("apex.")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    forget()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget()


def install_nvidia(site: Path, fused_adam: str = NVIDIA) -> None:
    (site / "apex/optimizers").mkdir(parents=True)
    (site / "apex/__init__.py").write_text("")
    (site / "apex/optimizers/fused_adam.py").write_text(fused_adam)
    (site / "apex/optimizers/__init__.py").write_text("from .fused_adam import FusedAdam\n")


def install_namesake(site: Path) -> None:
    """The index's apex: a toolkit for a web framework, which must not even be imported."""
    (site / "apex").mkdir()
    (site / "apex/__init__.py").write_text(
        f"open({str(site / 'imported')!r}, 'w').close()\nfrom pyramid.config import Configurator\n"
    )
    (site / "apex/models.py").write_text("")
    (site / "apex-0.9.10.dist-info").mkdir()
    (site / "apex-0.9.10.dist-info/METADATA").write_text(
        textwrap.dedent("""\
        Metadata-Version: 2.1
        Name: apex
        Version: 0.9.10
        Summary: Pyramid toolkit to add Velruse, Flash Messages, CSRF, ReCaptcha and Sessions
        """)
    )


def network() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(5)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(4, 3), (7,), (2, 2, 3, 3), ()]]


def train(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach().clone() for p in params]


def test_apex_runs_by_its_documented_signature_and_computes_the_same_adam(site: Path) -> None:
    install_nvidia(site)
    assert find_apex() == ApexStatus(usable=True, reason="")
    assert choose_adam("auto", "cuda", find_apex()).impl == "apex"
    config = AdamConfig(lr=1e-2, betas=(0.5, 0.99), eps=1e-7, weight_decay=0.1)
    ours, reference = network(), network()
    apex = make_adam("apex", ours, config)
    assert type(apex).__name__ == "FusedAdam"
    plain = torch.optim.Adam(reference, lr=1e-2, betas=(0.5, 0.99), eps=1e-7, weight_decay=0.1, foreach=False)
    for a, b in zip(train(apex, ours, 5), train(plain, reference, 5), strict=True):
        torch.testing.assert_close(a, b)


def test_the_namesake_is_refused_by_name_and_never_imported(site: Path) -> None:
    install_namesake(site)
    status = find_apex()
    assert not status.usable
    assert "is not NVIDIA's apex but another program of that name" in status.reason
    assert "version 0.9.10: Pyramid toolkit" in status.reason
    choice = choose_adam("auto", "cuda", status)
    assert choice.impl == "fused"
    assert "Pyramid toolkit" in choice.reason
    with pytest.raises(AdamError, match=r"another program of that name.*github.com/NVIDIA/apex"):
        choose_adam("apex", "cuda", status)
    assert "apex" not in sys.modules
    assert not (site / "imported").exists()


def test_a_namesake_that_is_a_single_file_or_was_put_together_by_hand_is_no_apex(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "apex.py").write_text("raise SystemExit('imported')\n")
    assert "another program of that name" in find_apex().reason
    monkeypatch.setitem(sys.modules, "apex", type(sys)("apex"))
    assert find_apex() == ApexStatus(usable=False, reason="NVIDIA apex is not installed")


def test_without_apex_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_adam("auto", "cuda", find_apex()).reason == (
        "PyTorch's fused Adam, since NVIDIA apex is not installed"
    )
    with pytest.raises(AdamError, match="implementation 'apex' cannot be used: NVIDIA apex is not installed") as caught:
        choose_adam("apex", "cuda", find_apex())
    assert caught.value.impl == "apex"


@pytest.mark.parametrize(
    ("fused_adam", "message"),
    [
        (
            "def FusedAdam(params, **numbers):\n    raise RuntimeError('requires cuda extensions')",
            "RuntimeError: requires cuda extensions",
        ),
        ("import amp_C_is_not_built", "ModuleNotFoundError: No module named 'amp_C_is_not_built'"),
        ("FusedLAMB = FusedAdam = None\ndel FusedAdam", "ImportError: cannot import name 'FusedAdam'"),
    ],
)
def test_an_apex_that_does_not_work_is_one_clear_error(site: Path, fused_adam: str, message: str) -> None:
    install_nvidia(site, fused_adam)
    with pytest.raises(AdamError) as caught:
        make_adam("apex", network(), AdamConfig())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_on_the_cpu_apex_by_name_is_refused_and_auto_takes_the_fused_kernel(site: Path) -> None:
    install_nvidia(site)
    with pytest.raises(AdamError, match="it needs parameters on CUDA, and these are on 'cpu'"):
        build_adam(network(), AdamConfig(impl="apex"))
    optimizer, choice = build_adam(network(), AdamConfig())
    assert choice.impl == "fused"
    assert optimizer.param_groups[0]["fused"]
    assert "apex" not in sys.modules


def test_other_devices_get_the_foreach_loops() -> None:
    assert choose_adam("auto", "mps", ApexStatus(usable=False, reason="none")).impl == "foreach"


@settings(max_examples=15)
@given(st.floats(1e-4, 0.1), st.floats(0, 0.9), st.floats(0.5, 0.999), st.sampled_from([0.0, 0.05]))
def test_fused_and_foreach_agree(lr: float, beta1: float, beta2: float, decay: float) -> None:
    results = []
    for impl in ("fused", "foreach"):
        params = network()
        optimizer, choice = build_adam(
            params,
            AdamConfig(lr=lr, betas=(beta1, beta2), weight_decay=decay, impl=impl),  # type: ignore[arg-type]
        )
        assert (choice.impl, choice.reason) == (impl, "asked for by name")
        results.append(train(optimizer, params, 4))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


ORDERS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("of_gradient", ORDERS)
@pytest.mark.parametrize("of_parameter", ORDERS)
def test_whatever_lies_in_whichever_order_each_element_is_updated_by_its_own_gradient(
    of_parameter: torch.memory_format, of_gradient: torch.memory_format
) -> None:
    found = []
    for impl in ("fused", "foreach"):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(6, 4, 3, 2).to(memory_format=of_parameter))
        optimizer, _ = build_adam([weight, torch.nn.Parameter(torch.ones(5))], AdamConfig(impl=impl, lr=0.1))
        for _ in range(3):
            weight.grad = torch.randn(6, 4, 3, 2).to(memory_format=of_gradient)
            optimizer.step()
        averages = optimizer.state[weight]
        assert averages["exp_avg"].shape == weight.shape
        found.append((weight.detach(), averages["exp_avg"], averages["exp_avg_sq"]))
    for fused, foreach in zip(*found, strict=True):
        torch.testing.assert_close(fused, foreach)


def test_the_fused_step_copies_nothing_of_a_channels_last_network() -> None:
    weight = torch.nn.Parameter(torch.randn(16, 8, 3, 3).to(memory_format=torch.channels_last))
    optimizer, _ = build_adam([weight], AdamConfig(impl="fused"))
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        optimizer.step()
    names = {event.key for event in seen.key_averages()}
    assert "aten::_fused_adam_" in names
    assert "aten::clone" not in names


@pytest.mark.parametrize("impl", ["fused", "foreach", "apex"])
def test_a_backward_through_a_graph_older_than_the_step_is_refused(impl: str, site: Path) -> None:
    install_nvidia(site)
    weight = nn.Parameter(torch.ones(2))
    optimizer = make_adam(impl, [weight], AdamConfig())  # type: ignore[arg-type]
    x = torch.ones(2, requires_grad=True)
    loss = (x * weight).sum()
    weight.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_no_parameters_is_an_error() -> None:
    with pytest.raises(AdamError, match="there are no parameters to optimize"):
        build_adam([], AdamConfig())


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"lr": 0.0}, "lr"),
        ({"lr": "fast"}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"betas": (0.5, 1.0)}, "betas[1]"),
        ({"betas": (0.5,)}, "betas"),
        ({"betas": [0.5, 0.9]}, "betas"),
        ({"betas": (True, 0.9)}, "betas[0]"),
        ({"eps": -1e-8}, "eps"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"impl": "adamw"}, "impl"),
    ],
)
def test_config_names_the_field(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AdamConfig(**arguments)  # type: ignore[arg-type]
    assert caught.value.problems[0].path == field


@pytest.mark.gpu
def test_fused_on_cuda() -> None:
    params = [nn.Parameter(torch.ones(3, device="cuda"))]
    optimizer, choice = build_adam(params, AdamConfig(lr=0.5))
    params[0].grad = torch.ones(3, device="cuda")
    optimizer.step()
    assert choice.impl in ("fused", "apex")
    torch.testing.assert_close(params[0].detach().cpu(), torch.full((3,), 0.5))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_capturable_step_leaves_itself_out_where_something_is_not_finite(bad: float) -> None:
    """Nothing is changed by it, the count of steps neither; all others are those of the usual Adam, at any rate."""
    plain, other = (nn.Parameter(torch.linspace(-1, 1, 5)) for _ in range(2))
    usual, _ = build_adam([plain], AdamConfig(lr=0.5))
    capturable, choice = build_adam([other], AdamConfig(lr=0.5), capturable=True)
    assert choice.impl == "fused"
    for step in range(6):
        rate, gradient = 0.5 / (1 + step), torch.full((5,), float(step - 2))
        plain.grad, other.grad = gradient.clone(), gradient.clone()
        for optimizer in (usual, capturable):
            set_lr(optimizer, rate)
        left_out = step in (0, 3)
        step_if_finite(capturable, torch.tensor(bad if left_out else 1.0), torch.ones(1))
        if not left_out:
            usual.step()
    torch.testing.assert_close(other, plain, rtol=1e-6, atol=0)
    assert adam_state(capturable)["params"][0]["step"] == adam_state(usual)["params"][0]["step"] == 4


@pytest.mark.parametrize("impl", ["apex", "foreach"])
def test_graphs_hold_the_fused_adam_alone(impl: Literal["apex", "foreach"]) -> None:
    with pytest.raises(AdamError, match="CUDA graphs take PyTorch's fused Adam alone"):
        build_adam([nn.Parameter(torch.ones(1))], AdamConfig(impl=impl), capturable=True)
