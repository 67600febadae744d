"""The benchmark of the operators leaves none out and measures what it says."""

import ops
import pytest
import torch
import vs_ops

SUBJECTS = ops.subjects(torch.device("cpu"), torch.float32)


def test_every_operator_is_measured_once():
    assert [one.operator.name for one in SUBJECTS].count("spade") == 1
    assert {one.operator.name for one in SUBJECTS} == {one.name for one in vs_ops.OPERATORS}


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.operator.name)
def test_its_call_reaches_every_leaf(subject):
    assert "reference" in {case.name for case in ops.cases_of(subject, repeats=1)}
    results = ops._outputs(subject.call("reference"))
    assert all(torch.isfinite(one).all() for one in results)
    if subject.leaves:
        gradients = torch.autograd.grad(results, subject.leaves, [torch.ones_like(one) for one in results])
        assert all(one.abs().sum() > 0 for one in gradients)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.operator.name)
def test_its_call_is_that_of_the_operator(subject, monkeypatch):
    asked = []
    monkeypatch.setattr(vs_ops, subject.operator.name, lambda *args, impl, **options: asked.append(impl))
    subject.call("reference")
    assert asked == ["reference"]
