"""The device that a name stands for, with and without a GPU."""

import pytest
import torch
from vs_runtime import DeviceError, VsRuntimeError, choose_device, search_convolutions


@pytest.mark.parametrize(
    ("name", "gpu", "chosen"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_a_gpu_is_taken_where_there_is_one_unless_the_cpu_is_asked_for(monkeypatch, name, gpu, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert choose_device(name) == torch.device(chosen)


@pytest.mark.parametrize(("name", "why"), [("cuda", "PyTorch finds no GPU here"), ("tpu", "is not a device")])
def test_a_device_that_is_not_here_is_refused_in_one_line_that_says_what_to_do(monkeypatch, name, why):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=rf"^device: '{name}' .*{why}.*; use 'auto' or 'cpu'$") as caught:
        choose_device(name)
    assert caught.value.device == name
    assert isinstance(caught.value, VsRuntimeError)


@pytest.mark.parametrize(
    ("device", "wanted", "searches"),
    [("cuda", True, True), ("cuda:1", True, True), ("cuda", False, False), ("cpu", True, False)],
)
def test_algorithms_of_convolutions_are_searched_for_on_a_gpu_alone(device, wanted, searches):
    with torch.backends.cudnn.flags(benchmark=not searches):
        search_convolutions(torch.device(device), wanted=wanted)
        assert torch.backends.cudnn.benchmark == searches
