"""Checkpoints of a run: exact round trips, and nothing half written or damaged ever comes back."""

import errno
import json
import math
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from torch import Tensor, nn
from vs_optim import AdamConfig, adam_state, build_adam, load_adam_state
from vs_runtime import (
    DamagedCheckpoint,
    NoCheckpoint,
    StateError,
    checkpoint_path,
    checkpoints_by_step,
    list_checkpoints,
    load_checkpoint,
    load_latest,
    random_state,
    restore_random_state,
    save_checkpoint,
)

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, types included."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype is b.dtype and a.shape == b.shape and _bytes(a) == _bytes(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return math.isnan(a) == math.isnan(b) and (math.isnan(a) or a.hex() == b.hex())
    if isinstance(a, dict):
        return list(map(type, a)) == list(map(type, b)) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 100)))
    tensor = (torch.randn(shape, generator=generator) * 50).to(dtype)
    return tensor.mT if tensor.ndim > 1 and draw(st.booleans()) else tensor


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
KEYS = st.one_of(st.text(max_size=5), st.sampled_from(["$tensor", "a.b", "a", "__metadata__"]), st.integers())
STATES = st.recursive(
    st.one_of(SCALARS, tensors()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(STATES)
def test_every_state_comes_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    root = tmp_path_factory.mktemp("checkpoints")
    path = save_checkpoint(root, step=7, state=state, keep=1)
    loaded = load_latest(root)
    assert (loaded.step, loaded.path, loaded.skipped) == (7, path, ())
    assert same(loaded.state, state)
    shutil.rmtree(root)


def test_what_json_and_the_tensor_file_have_no_word_for(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "inf": [math.inf, -math.inf, math.nan, -0.0, 5e-324, 1.7976931348623157e308, 0.1],
        "big": 2**200,
        "a": {"b": torch.ones(1)},
        "a.b": torch.zeros(2),
        "__metadata__": torch.ones(()),
        "$tensor": "text",
        3: {True: (), 1.5: [()], None: {}},
        "whole and parts": (shared, shared[2:4], shared.view(2, 3).t(), shared.expand(2, 6)),
        "lone surrogate \ud800": torch.ones(1),
    }
    save_checkpoint(tmp_path, step=0, state=state, keep=1)
    loaded = load_latest(tmp_path).state
    assert same(loaded, state)
    loaded["whole and parts"][0].fill_(9)
    assert loaded["whole and parts"][1].tolist() == [2.0, 3.0]


def test_parameters_and_ordered_dicts_become_plain(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    save_checkpoint(tmp_path, step=0, state={"net": network.state_dict(), "p": network.weight}, keep=1)
    loaded = load_latest(tmp_path).state
    assert type(loaded["net"]) is dict
    assert type(loaded["p"]) is Tensor
    assert not loaded["p"].requires_grad
    assert torch.equal(loaded["net"]["weight"], network.weight)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": [1, {2}]}, "state.a.1: a checkpoint cannot hold a builtins.set"),
        ({"a": {(1, 2): 3}}, "state.a: a checkpoint cannot hold the dict key (1, 2) of type tuple"),
        ({"path": Path("x")}, "state.path: a checkpoint cannot hold a pathlib"),
        ({"t": torch.ones(2).to_sparse()}, "state.t: a checkpoint holds dense tensors only"),
        (
            {"t": torch.ones(2, dtype=torch.complex128)},
            "state.t: a checkpoint cannot hold a tensor of torch.complex128",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_by_its_path_and_nothing_is_written(
    tmp_path: Path, state: Any, message: str
) -> None:
    with pytest.raises(StateError) as caught:
        save_checkpoint(tmp_path / "new", step=0, state=state, keep=1)
    assert message in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("step", "keep"), [(-1, 1), (0, 0)])
def test_impossible_numbers_are_refused(tmp_path: Path, step: int, keep: int) -> None:
    with pytest.raises(StateError, match="expected step >= 0 and keep >= 1"):
        save_checkpoint(tmp_path, step=step, state={}, keep=keep)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (5, 50, 500, 123456789):
        save_checkpoint(tmp_path, step=step, state={"step": step}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000500", "step-123456789"]
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-123456789", "step-00000500"]
    assert load_latest(tmp_path).state == {"step": 123456789}


def test_the_checkpoint_of_a_step_is_the_one_being_replaced_until_its_successor_stands(tmp_path: Path) -> None:
    for name in ("step-00000001", "step-00000002.replaced", "step-00000003", "step-00000003.replaced", "other"):
        (tmp_path / name).mkdir()
    found = checkpoints_by_step(tmp_path)
    assert list(found) == [3, 2, 1]
    assert found[3] == checkpoint_path(tmp_path, 3)
    assert found[2].name == "step-00000002.replaced"
    assert checkpoints_by_step(tmp_path / "nowhere") == {}


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    for value in (1, 2):
        save_checkpoint(tmp_path, step=5, state=value, keep=1)
    assert load_latest(tmp_path).state == 2
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "step-12").mkdir()
    (tmp_path / "step-00000009").write_text("a file")
    save_checkpoint(tmp_path, step=1, state={}, keep=1)
    save_checkpoint(tmp_path, step=2, state={}, keep=1)
    assert {p.name for p in tmp_path.iterdir()} == {"notes.txt", "step-12", "step-00000009", "step-00000002"}
    assert load_latest(tmp_path).step == 2


def test_no_checkpoint_has_its_own_error(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NoCheckpoint, match="nothing to resume from: it holds no checkpoint") as caught:
            load_latest(root)
        assert caught.value.skipped == ()


def damage_truncate(path: Path) -> None:
    file = path / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def damage_flip(path: Path) -> None:
    file = path / "tensors.safetensors"
    contents = bytearray(file.read_bytes())
    contents[-1] ^= 1
    file.write_bytes(contents)


def damage_foreign(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()
    (path / "model.pt").write_text("somebody else's")


DAMAGES = {
    "tensors.safetensors has 1099 bytes instead of 1100": damage_truncate,
    "tensors.safetensors was altered": damage_flip,
    "state.json cannot be read: No such file or directory": lambda path: (path / "state.json").unlink(),
    "manifest.json is missing": damage_foreign,
    "manifest.json is not JSON": lambda path: (path / "manifest.json").write_text("{"),
    "manifest.json is not of the format": lambda path: (path / "manifest.json").write_text("[]"),
    "manifest.json says nothing of tensors": lambda path: (path / "manifest.json").write_text(
        '{"format": "vs-checkpoint-1", "step": 2}'
    ),
}


@pytest.mark.parametrize("reason", sorted(DAMAGES))
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before_and_says_why(tmp_path: Path, reason: str) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step=step, state={"x": torch.full((253,), float(step)), "step": step}, keep=5)
    damaged = tmp_path / "step-00000002"
    size = (damaged / "tensors.safetensors").stat().st_size
    DAMAGES[reason](damaged)
    loaded = load_latest(tmp_path)
    assert (loaded.step, loaded.state["step"]) == (1, 1)
    ((path, why),) = loaded.skipped
    assert path == damaged
    assert why.startswith(reason.replace("1099", str(size - 1)).replace("1100", str(size)))
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(damaged)
    shutil.rmtree(tmp_path / "step-00000001")
    with pytest.raises(NoCheckpoint, match="step-00000002: ") as caught:
        load_latest(tmp_path)
    assert caught.value.skipped[0][0] == damaged


def test_a_renamed_checkpoint_does_not_pass_for_another_step(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, step=1, state={}, keep=1).rename(tmp_path / "step-00000002")
    with pytest.raises(DamagedCheckpoint, match=r"manifest.json is of step 1"):
        load_checkpoint(tmp_path / "step-00000002")


def test_no_flipped_byte_changes_what_is_read(tmp_path: Path) -> None:
    """Each byte of each file in turn: the checkpoint is refused, or what comes out is the same (white space)."""
    state = {"x": torch.arange(3), "y": (1, 2.5)}
    path = save_checkpoint(tmp_path, step=1, state=state, keep=1)
    refused = 0
    for file in sorted(path.iterdir()):
        contents = file.read_bytes()
        for position in range(len(contents)):
            file.write_bytes(contents[:position] + bytes([contents[position] ^ 0x10]) + contents[position + 1 :])
            try:
                assert same(load_checkpoint(path).state, state)
            except DamagedCheckpoint:
                refused += 1
        file.write_bytes(contents)
    sizes = {file.name: file.stat().st_size for file in path.iterdir()}
    assert refused >= sizes["tensors.safetensors"] + sizes["state.json"] + sizes["manifest.json"] // 2
    assert same(load_checkpoint(path).state, state)


def test_a_later_damaged_checkpoint_is_cleared_away_and_a_later_good_one_is_not(tmp_path: Path) -> None:
    for step in (1, 7, 8):
        save_checkpoint(tmp_path, step=step, state={"x": torch.ones(3)}, keep=3)
    damage_flip(tmp_path / "step-00000008")
    save_checkpoint(tmp_path, step=2, state={}, keep=1)
    assert {p.name for p in tmp_path.iterdir()} == {"step-00000002", "step-00000007"}


def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, step=1, state={"x": torch.ones(3)}, keep=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*step-00000002") as caught:
        save_checkpoint(tmp_path, step=2, state={"x": torch.ones(3)}, keep=1)
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path / "step-00000002"))
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert load_latest(tmp_path).step == 1


@pytest.mark.parametrize(
    "state", [{"x": torch.ones(50_000)}, {"words": "many " * 40_000}], ids=["tensors", "everything else"]
)
def test_files_that_the_system_refuses_to_write_are_an_os_error_and_leave_nothing(tmp_path: Path, state: Any) -> None:
    resource = pytest.importorskip("resource")
    save_checkpoint(tmp_path, step=1, state={"x": torch.ones(3)}, keep=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores the signal that comes with it
    try:
        with pytest.raises(OSError, match=r"File too large.*step-00000002") as caught:
            save_checkpoint(tmp_path, step=2, state=state, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert load_latest(tmp_path).step == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", errno.ENOSPC),
        ("Error while serializing: something else", errno.EIO),
    ],
)
def test_errors_of_the_tensor_file_become_os_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, number: int
) -> None:
    def fails(*_: Any) -> None:
        raise SafetensorError(text)

    monkeypatch.setattr("safetensors.torch.save_file", fails)
    with pytest.raises(OSError, match=r"No space left on device|something else") as caught:
        save_checkpoint(tmp_path, step=2, state={"x": torch.ones(3)}, keep=1)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "step-00000002"))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, step=2, state={"x": torch.ones(3)}, keep=1)
    assert list(tmp_path.iterdir()) == []


# A process that is killed at its n-th system call of those that a checkpoint is written with, for every n. A checkpoint
# of step 1 is there; the one being written is of the next step, or replaces that of step 1.
KILLED = """
    import os, pathlib, shutil, signal, sys, torch
    from vs_runtime import save_checkpoint

    root = pathlib.Path(sys.argv[1])
    state = lambda step: {"x": torch.full((5,), float(step)), "step": step}

    def attempt(root, step, fatal):
        count = 0

        def counted(real):
            def call(*args, **kwargs):
                nonlocal count
                count += 1
                if count == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)
            return call

        for owner, name in [(os, "mkdir"), (os, "fsync"), (os, "open"), (os, "rename"), (os, "rmdir"), (os, "unlink"),
                            (pathlib.Path, "write_text")]:
            setattr(owner, name, counted(getattr(owner, name)))
        save_checkpoint(root, step=step, state=state(step), keep=1)
        os._exit(0)

    torch.set_num_threads(1)
    for step in (1, 2):
        for fatal in range(1, 1000):
            own = root / f"{step}-{fatal:03d}"
            save_checkpoint(own, step=1, state=state(1), keep=1)
            child = os.fork()
            if child == 0:
                attempt(own, step, fatal)
            if os.waitpid(child, 0)[1] == 0:
                break
"""


def test_a_process_killed_at_any_moment_leaves_one_whole_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for step in (1, 2):
        roots = sorted(tmp_path.glob(f"{step}-*"))
        assert len(roots) > 10
        steps = set()
        for root in roots:
            loaded = load_latest(root)
            assert loaded.state["x"].tolist() == [float(loaded.state["step"])] * 5
            steps.add(loaded.step)
            save_checkpoint(root, step=3, state={}, keep=1)
            assert [p.name for p in root.iterdir()] == ["step-00000003"]
        assert steps == {1, step}


def test_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Network, optimizer, scaler and random state through a checkpoint: the next steps are the very same."""

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            scaler.scale(network(torch.randn(4, 3)).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()

    def everything() -> dict[str, Any]:
        return {
            "network": dict(network.state_dict()),
            "optimizer": adam_state(optimizer),
            "torch_optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
            "random": random_state(),
        }

    network: nn.Module = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.3), nn.Linear(5, 1))
    optimizer, _ = build_adam(network.parameters(), AdamConfig(lr=0.01))
    scaler = torch.amp.GradScaler("cpu", growth_interval=2)
    train(3)
    save_checkpoint(tmp_path, step=3, state=everything(), keep=1)
    train(3)
    expected = everything()
    network = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.3), nn.Linear(5, 1))
    optimizer, _ = build_adam(network.parameters(), AdamConfig(lr=0.01))
    scaler = torch.amp.GradScaler("cpu", growth_interval=2)
    state = load_latest(tmp_path).state
    network.load_state_dict(state["network"])
    load_adam_state(optimizer, state["optimizer"])
    assert same(state["torch_optimizer"], optimizer.state_dict())
    scaler.load_state_dict(state["scaler"])
    restore_random_state(state["random"])
    train(3)
    assert same(everything(), expected)


def test_the_files_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, step=1, state={"net": {"w": torch.ones(2)}, "rates": (1, None)}, keep=1)
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json", "state.json", "tensors.safetensors"]
    skeleton = json.loads((path / "state.json").read_text())
    assert skeleton == {"net": {"w": {"$tensor": "net.w"}}, "rates": {"$tuple": [1, None]}}
