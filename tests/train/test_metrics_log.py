import contextlib
import json
import math
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from vs_runtime.errors import RunDirectoryError
from vs_runtime.metrics_log import CLOCK_FIELDS, MetricsLog, read_metrics, without_clock
from vs_train.curves import Curves


def write(log: MetricsLog, steps: range, hour: float) -> None:
    for step in steps:
        log.append(step, {"loss": 1 / step, "d": step, "scale": None}, {"time": hour + step, "images_per_second": hour})


def test_a_line_is_one_object_with_keys_in_one_order(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.append(1, {"b": 0.1, "a": True}, {"time": 5.0, "memory_bytes": 1})
        line = '{"step": 1, "a": true, "b": 0.1, "memory_bytes": 1, "time": 5.0}\n'
        assert (tmp_path / "m.jsonl").read_text() == line
        log.append(2, {"a": False, "b": 3}, {})
    assert [list(line) for line in read_metrics(tmp_path / "m.jsonl")] == [
        ["step", "a", "b", "memory_bytes", "time"],
        ["step", "a", "b"],
    ]


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    values = {"a": 0.1 + 0.2, "b": 1e-310, "c": math.inf, "d": -math.inf, "e": math.nan, "f": 2**60, "g": "text"}
    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.append(0, values, {})
    json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=pytest.fail)
    (line,) = read_metrics(tmp_path / "m.jsonl")
    assert repr(line) == repr({"step": 0, **values})


@pytest.mark.parametrize(("values", "clock"), [({"time": 1.0}, {}), ({}, {"loss": 1.0}), ({"step": 3}, {})])
def test_clock_fields_are_kept_apart(tmp_path: Path, values: dict[str, float], clock: dict[str, float]) -> None:
    with MetricsLog(tmp_path / "m.jsonl") as log, pytest.raises(ValueError, match="misplaced"):
        log.append(1, values, clock)
    assert not (tmp_path / "m.jsonl").exists()


@pytest.mark.parametrize("partial", ["", '{"step": 9, "lo', '{"step": 3}'])
def test_a_resumed_file_differs_from_an_unbroken_one_in_clock_fields_only(tmp_path: Path, partial: str) -> None:
    with MetricsLog(tmp_path / "unbroken") as log:
        write(log, range(1, 9), hour=100.0)
    with MetricsLog(tmp_path / "broken") as log:
        write(log, range(1, 7), hour=200.0)
    with (tmp_path / "broken").open("a") as file:
        file.write(partial)
    with MetricsLog(tmp_path / "broken") as log:
        log.truncate_after(4)
        write(log, range(5, 9), hour=300.0)
    unbroken, broken = (list(read_metrics(tmp_path / name)) for name in ("unbroken", "broken"))
    assert unbroken != broken
    assert [without_clock(line) for line in broken] == [without_clock(line) for line in unbroken]
    assert not CLOCK_FIELDS & without_clock(broken[0]).keys()


def test_truncating_while_writing_and_before_anything_was_written(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "m") as log:
        log.truncate_after(3)
        assert not log.path.exists()
        write(log, range(1, 4), hour=0.0)
        log.sync()
        log.truncate_after(0)
        assert log.path.read_text() == ""
        write(log, range(1, 3), hour=0.0)
    assert [line["step"] for line in read_metrics(tmp_path / "m")] == [1, 2]


def test_a_damaged_line_is_named_and_the_file_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m"
    text = '{"step": 1}\n\0\0\0\n{"step": 3}\n'
    path.write_text(text)
    with pytest.raises(RunDirectoryError, match=r"m: line 2 is not a line of metrics"):
        MetricsLog(path).truncate_after(9)
    path.write_text('{"stop": 1}\n')
    with pytest.raises(RunDirectoryError, match=r"m: line 1 is not a line of metrics"):
        MetricsLog(path).truncate_after(9)


def read_events(path: Path) -> EventAccumulator:
    events = EventAccumulator(str(path), purge_orphaned_data=True)
    events.Reload()
    return events


def test_curves_and_pictures_reach_tensorboard_and_a_resumed_run_replaces_its_lost_end(tmp_path: Path) -> None:
    with Curves(tmp_path) as curves:
        for step in range(1, 7):
            curves.scalars(step, {"loss/g": float(step), "loss/d": 0.5})
        curves.flush()
        curves.image(3, "strip", torch.full((3, 4, 5), 7, dtype=torch.uint8))
    with Curves(tmp_path, resume_after=4) as curves:
        for step in range(5, 8):
            curves.scalars(step, {"loss/g": 10.0 * step})
    events = read_events(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("loss/g")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 4.0),
        (5, 50.0),
        (6, 60.0),
        (7, 70.0),
    ]
    (picture,) = events.Images("strip")
    assert (picture.step, picture.height, picture.width) == (3, 4, 5)


def test_nothing_is_written_before_there_is_a_value_and_pictures_are_checked(tmp_path: Path) -> None:
    with Curves(tmp_path / "tb") as curves:
        for wrong in (torch.zeros(3, 4, 5), torch.zeros(4, 5, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8)):
            with pytest.raises(ValueError, match=r"expected a \(3,H,W\) uint8 picture"):
                curves.image(1, "x", wrong)
        curves.flush()
    assert not (tmp_path / "tb").exists()


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Files can have 2,000 bytes: what comes after that fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_with_the_files_name_and_the_lines_before_it_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with full_disk(), pytest.raises(OSError, match=r"'.*m\.jsonl'") as caught, MetricsLog(path) as log:
        write(log, range(1, 99), hour=0.0)
    assert caught.value.filename == str(path)
    done = [line["step"] for line in read_metrics(path)]
    assert done == list(range(1, len(done) + 1))
    assert 10 < len(done) < 98
    MetricsLog(path).check(len(done))


def test_a_full_disk_stops_the_curves_in_the_thread_that_writes_them(tmp_path: Path) -> None:
    threads = threading.active_count()

    def fill() -> None:
        with Curves(tmp_path / "tb") as curves:
            for step in range(1, 99):
                curves.scalars(step, {"loss/g": 1.0, "loss/d": 2.0})
                assert threading.active_count() == threads

    with full_disk(), pytest.raises(OSError, match=r"'.*events\.out\.tfevents.*'"):
        fill()


@pytest.mark.parametrize("how", ["removed", "replaced", "with its folder"])
def test_files_that_are_removed_while_they_are_written_are_named(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log, curves = MetricsLog(folder / "m.jsonl"), Curves(folder / "tb")
    write(log, range(1, 3), hour=0.0)
    curves.scalars(1, {"loss": 1.0})
    for file in [folder / "m.jsonl", *(folder / "tb").iterdir()]:
        file.rename(tmp_path / file.name)
        if how == "replaced":
            shutil.copy(tmp_path / file.name, file)
    if how == "with its folder":
        shutil.rmtree(folder)
    for action in (lambda: write(log, range(3, 4), hour=0.0), log.sync):
        with pytest.raises(RunDirectoryError, match=r"m\.jsonl: was removed or replaced while"):
            action()
    for action in (lambda: curves.scalars(2, {"loss": 1.0}), curves.flush):
        with pytest.raises(RunDirectoryError, match=r"events\.out\..*: was removed or replaced while"):
            action()
    log.close()
    curves.close()


def test_the_fingerprint_is_that_of_the_lines_without_their_clocks(tmp_path: Path) -> None:
    logs = [MetricsLog(tmp_path / name) for name in ("a", "b")]
    for hour, log in enumerate(logs):
        with log:
            write(log, range(1, 5), hour=float(hour))
    saved = logs[0].fingerprint()
    assert saved == logs[1].fingerprint()
    assert json.loads(json.dumps(saved)) == saved
    with logs[1] as log:
        write(log, range(5, 7), hour=7.0)
    log.check(4, saved)
    assert log.fingerprint() != saved
    log.truncate_after(4)
    assert log.fingerprint() == saved
    with pytest.raises(RunDirectoryError, match="ends with step 4 instead of 5"):
        log.check(5)
    log.path.write_text(log.path.read_text().replace('"loss": 0.5', '"loss": 0.25'))
    with pytest.raises(RunDirectoryError, match="is not what the run wrote up to step 4"):
        log.check(4, saved)


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b'{"step": 1}\n\xff\xfe\n')
    with pytest.raises(RunDirectoryError, match=r"m: line 2 is not a line of metrics: '\\\\xff"):
        MetricsLog(path).check(1)


def test_a_line_that_could_not_be_written_is_missed(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.append(1, {}, {})
        log.require(1)
        with pytest.raises(RunDirectoryError, match="the line of step 2 could not be written"):
            log.require(2)
