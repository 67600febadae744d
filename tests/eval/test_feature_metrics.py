"""Evaluations with feature networks: through the command line with tiny random ones, and held against direct calls."""

import json
import math
import shlex
import shutil
from functools import partial
from types import SimpleNamespace

import attrs
import pytest
import torch
from toy_runs import FEW_SHOT, STREET, make_run
from vs_metrics import Average, frechet_distance, gaussian_statistics, interval_of, kernel_distance
from vs_metrics.features import (
    AlexLpipsConfig,
    I3dConfig,
    InceptionConfig,
    VideoMaeConfig,
    build_inception,
    build_lpips,
    save_features,
)
from vs_metrics.features.weights import build
from vs_training.quality import features as quality
from vs_training.quality.features import (
    FeatureGatherer,
    FeatureNetworks,
    kernel_interval,
    set_metrics,
)

TINY = {
    "lpips": AlexLpipsConfig(divisor=32),
    "inception": InceptionConfig(divisor=64, size=75),
    "i3d": I3dConfig(classes=3, divisor=32, size=32, frames=9),
    "videomae": VideoMaeConfig(width=2, depth=1, heads=1, inner=2, patch=16, size=16, frames=2),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind of network, by its name."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    return {name: save_features(folder / f"{name}.safetensors", build(config)) for name, config in TINY.items()}


@pytest.fixture
def run_main(run_command):
    return partial(run_command, "vid2vid", "--no-agreement")


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def test_given_networks_are_measured_with_and_others_left_out(run_main, files, tmp_path):
    config = attrs.evolve(STREET, data=attrs.evolve(STREET.data, sequence_length=10))
    make_run(tmp_path / "run", config)
    assert run_main("run", "--out", "plain")[0] == 0
    shutil.copytree(files["lpips"].parent, tmp_path / "my networks")
    status, out, err = run_main("run", "--out", "with", "--features", *map(str, (tmp_path / "my networks").iterdir()))
    assert (status, err) == (0, "")
    assert "LPIPS" in out
    plain, found = report_of(tmp_path / "plain"), report_of(tmp_path / "with")
    assert [one["name"] for one in plain["sets"]] == ["still_grid"]
    assert "tools/convert_features.py" in (tmp_path / "plain" / "report.html").read_text()
    page = (tmp_path / "with" / "report.html").read_text()
    assert "tools/convert_features.py" not in page
    assert "FVD, content-debiased" in page
    others = {name: score for name, score in found["scores"].items() if not name.startswith(("lpips/", "tlp/"))}
    assert others == plain["scores"]
    assert found["scores"].keys() - others.keys() == {
        *(f"lpips/{name}" for name in ("generated", "previous", "class_mean")),
        "tlp/generated",
    }
    assert found["scores"]["lpips/generated"]["weight"] == 2 * 9
    sets = {one["name"]: one for one in found["sets"] if one["name"] != "still_grid"}
    assert list(sets) == ["fid", "kid", "fvd", "kvd", "fvd-content-debiased", "kvd-content-debiased"]
    assert [one["frames"] for one in sets.values()] == [20, 20, 18, 18, 20, 20]
    assert sets["fvd"]["value"] is None  # two clips are fewer than three logits and one
    assert sets["fvd"]["note"] == "18 frames: FVD needs at least 36"
    assert sets["fvd-content-debiased"]["value"] >= 0
    assert {path.suffix for path in (tmp_path / "with").iterdir()} == {".html", ".json", ".mp4", ".png"}
    assert str(tmp_path) not in json.dumps(found)
    asked = shlex.split(found["command"])
    named = {f"my networks/{name}.safetensors" for name in files}
    assert set(asked[asked.index("--features") + 1 : asked.index("--no-agreement")]) == named


def test_few_shot_sections_have_their_own_distances(run_command, files, tmp_path):
    make_run(tmp_path / "run", FEW_SHOT)
    few = partial(run_command, "few-shot", "--no-agreement")
    asked = ["--references", "1", "--features", str(files["lpips"]), str(files["videomae"])]
    status, _, err = few("run", "--out", "with", *asked)
    assert status == 0, err
    own, driven = report_of(tmp_path / "with")["sections"]
    assert {"lpips/generated", "lpips/repeated"} <= own["scores"].keys()
    # Of five frames one is the reference, which is not scored; windows of two frames it is a part of.
    assert own["scores"]["lpips/generated"]["weight"] == 2 * 4
    for section in (own, driven):
        _, *sets = section["sets"]
        assert [one["frames"] for one in sets] == [8, 8]
        assert sets[0]["value"] >= 0
        assert sets[1]["value"] is None


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["lpips", "none"], "none.safetensors: no such file; tools/convert_features.py makes such a file"),
        (["i3d", "i3d"], "a second I3d: give one network of each kind"),
        (["run/config.toml"], "not a safetensors file"),
    ],
)
def test_wrong_files_are_one_line(chosen, message, run_main, files, tmp_path):
    make_run(tmp_path / "run", STREET)
    paths = [str(files.get(name, tmp_path / (name if "/" in name else f"{name}.safetensors"))) for name in chosen]
    status, _, err = run_main("run", "--features", *paths)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run" / "eval").exists()


def test_frames_that_are_too_small_for_a_network_cost_nothing(run_main, files, tmp_path):
    make_run(tmp_path / "run", attrs.evolve(STREET, data=attrs.evolve(STREET.data, height=16, width=32)))
    status, _, err = run_main("run", "--features", str(files["lpips"]))
    assert status == 2
    assert "needs frames of 31x31 pixels, these have 16x32" in err
    assert not (tmp_path / "run" / "eval").exists()


def view(real, made, index=0):
    """A frame of a clip as far as networks look at it."""
    truth = SimpleNamespace(frames=real, references=None)
    return SimpleNamespace(index=index, truth=truth, synthesis=SimpleNamespace(frame=made), painted=None)


def frames(count, seed):
    return torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_what_is_gathered_is_what_the_networks_say_of_all_counted_frames():
    torch.manual_seed(0)
    inception = build_inception(TINY["inception"])
    networks = FeatureNetworks(inception=inception)
    clips, real, made = [], frames(6, 1), frames(6, 2)
    for start in (0, 3):
        gather = FeatureGatherer(networks, lambda view, past: {"a": Average()} if view.index % 3 != 1 else {})
        for index in range(start, start + 3):
            gather(view(real[index : index + 1], made[index : index + 1], index), ())
        clips.append(gather.features())
    rows = [torch.cat([clip[f"inception/{side}"] for clip in clips]) for side in ("real", "generated")]
    for row, some in zip(rows, (real, made), strict=True):
        assert torch.allclose(row, inception(some[[0, 2, 3, 5]]), atol=1e-5)
    assert set_metrics(networks, []) == ()


def of_rows(real, made, width=2):
    """The distances of given features, taken for those of an Inception network of so many."""
    network = build_inception(TINY["inception"])
    network.num_features = width
    clips = [{"inception/real": x, "inception/generated": y} for x, y in zip(real, made, strict=True)]
    return set_metrics(FeatureNetworks(inception=network), clips)


def test_distances_are_of_all_clips_together():
    torch.manual_seed(0)
    real, made = torch.randn(5, 18, 2), torch.randn(5, 18, 2) + 0.5
    fid, kid = of_rows(real, made)
    x, y = real.flatten(0, 1), made.flatten(0, 1)
    assert fid.value == frechet_distance(gaussian_statistics(x), gaussian_statistics(y))
    assert kid.value == kernel_distance(x, y).value
    assert (fid.frames, kid.frames, fid.interval) == (90, 90, None)
    assert kid.interval.low < kid.value < kid.interval.high


def test_features_that_are_not_finite_have_no_distance():
    real = torch.randn(2, 30, 2)
    for metric in of_rows(real, torch.full((2, 30, 2), torch.nan)):
        assert math.isnan(metric.value)
        assert metric.note == "frames were generated with values that are not finite"


def test_an_interval_of_a_kernel_distance_is_that_of_resampled_clips(monkeypatch):
    """Each resample by hand: pairs of frames of different clips, and of different frames of the same clip."""
    torch.manual_seed(0)
    real, made = list(torch.randn(5, 4, 3)), list(torch.randn(5, 4, 3) + 0.4)
    counts = torch.tensor([[1, 1, 1, 1, 1], [2, 0, 1, 1, 1], [0, 0, 3, 2, 0.0]]).double()
    seen = []
    monkeypatch.setattr(quality, "resample_counts", lambda clips: counts)
    monkeypatch.setattr(quality, "interval_of", lambda values, clips: seen.append(values) or interval_of(values, clips))
    kernel_interval(real, made)
    for row, value in zip(counts.tolist(), seen[0].tolist(), strict=True):
        assert value == pytest.approx(by_hand(real, made, row), rel=1e-6)
    assert seen[0][0] == pytest.approx(kernel_distance(torch.cat(real), torch.cat(made), least=2).value)
    assert kernel_interval(real[:4], made[:4]) is None


def by_hand(real, made, counts):
    drawn = [clip for clip, count in enumerate(counts) for _ in range(int(count))]

    def mean(xs, ys, itself):
        total, pairs = 0.0, 0
        for one, c in enumerate(drawn):
            for other, d in enumerate(drawn):
                if c == d and one != other:
                    continue  # a copy
                for i, x in enumerate(xs[c].double()):
                    for j, y in enumerate(ys[d].double()):
                        if itself or one != other or i != j:
                            total += float((x @ y / 3 + 1) ** 3)
                            pairs += 1
        return total / pairs

    return mean(real, real, False) + mean(made, made, False) - 2 * mean(real, made, True)


def test_lpips_of_the_previous_frame_is_that_of_the_network():
    torch.manual_seed(0)
    lpips = build_lpips(TINY["lpips"])
    real, made = (torch.rand(2, 3, 40, 40) * 2 - 1 for _ in range(2))
    first, second = (view(real[i : i + 1], made[i : i + 1]) for i in range(2))
    gather = FeatureGatherer(FeatureNetworks(lpips=lpips), lambda view, past: {"psnr/generated": Average()})
    assert gather(first, ()).keys() == {"psnr/generated"}
    scores = gather(second, [first])
    assert scores["lpips/generated"].total == pytest.approx(lpips(made[1:], real[1:]).item())
    assert scores["lpips/previous"].total == pytest.approx(lpips(real[:1], real[1:]).item())
    change = lpips(made[:1], made[1:]) - lpips(real[:1], real[1:])
    assert scores["tlp/generated"].total == pytest.approx(change.abs().item(), rel=1e-4)
