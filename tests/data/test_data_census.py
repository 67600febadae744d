"""Class ids of a whole folder: what is declared and never occurs, what is ignored, and masks in black and white."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_data import FolderConfig, NoFlowConfig, SegMapsConfig, check_folder
from vs_data.census import check_classes
from vs_data.clips import class_ids_in
from vs_data.labels import label_infos


def of(pixels: dict[int, int], **fields: object) -> dict[str, str]:
    info = class_ids_in(label_infos([SegMapsConfig(**fields)]))["seg_maps"]
    counts = np.bincount(list(pixels), list(pixels.values()), minlength=256).astype(np.int64)
    return {finding.kind: finding.what for finding in check_classes("place", info, counts)}


@given(present=st.sets(st.integers(0, 9), min_size=1))
def test_classes_that_never_occur_are_counted(present):
    found = of(dict.fromkeys(present, 5), num_classes=10)
    missing = 10 - len(present)
    assert ("classes that never occur" in found) == (missing > 0)
    if missing:
        assert found["classes that never occur"].startswith(f"{missing} of 10 classes never occur: ")


def test_neighbouring_classes_are_named_together():
    found = of({0: 1, 2: 1, 6: 1, 7: 1}, num_classes=9)
    assert found == {"classes that never occur": "5 of 9 classes never occur: 1, 3 to 5, 8"}


@pytest.mark.parametrize(("ignored", "warned"), [(0, False), (33, False), (34, True), (90, True)])
def test_much_that_is_ignored_is_a_warning_with_its_share(ignored, warned):
    found = of({0: 1, 1: 99 - ignored, 255: ignored}, num_classes=2)
    expected = f"{ignored}.0 % of the pixels are 255, the ignore_id, and teach nothing"
    assert found == ({"ignored pixels": expected} if warned else {})


def test_masks_in_black_and_white_are_recognised():
    found = of({0: 60, 255: 40}, num_classes=2)
    assert found["masks in black and white"] == (
        "only the ids 0 and 255 occur, as in a black and white mask: 40.0 % of the pixels are 255, the ignore_id, and "
        "teach nothing"
    )
    assert "classes that never occur" in found
    assert "masks in black and white" in of({0: 60, 255: 4}, num_classes=256, ignore_id=None)
    assert of({0: 60, 1: 10, 255: 4}, num_classes=2) == {}
    assert of({}, num_classes=2) == {}


def test_a_folder_of_masks_is_warned_of_in_all(folder):
    root = folder({"a": 3})
    for path in (root / "seg_maps" / "a").iterdir():
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(ids < 4, 255, 0).astype(np.uint8))
    labels = (SegMapsConfig(num_classes=2),)
    report = check_folder(FolderConfig(root=str(root), labels=labels, flow=NoFlowConfig()))
    assert report.errors == ()
    assert {finding.kind for finding in report.findings} == {"masks in black and white", "classes that never occur"}
    assert {finding.file for finding in report.findings} == {str(root / "seg_maps")}


def test_classes_may_occur_in_what_is_not_opened(folder):
    config = FolderConfig(root=str(folder({"a": 3, "b": 3})), flow=NoFlowConfig())
    assert [finding.kind for finding in check_folder(config).findings] == ["classes that never occur"]
    for part in ({"sequences": 1}, {"every": 2}):
        assert check_folder(config, **part).findings == ()
    assert len(check_folder(config, sequences=2).findings) == 1
