"""Which kind of generator settings ask for, before anybody has checked them."""

import pytest
from vs_training.kinds import generator_kind, may_be_kind


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({}, "vid2vid"),
        ({"generator": {"levels": 3}}, "vid2vid"),
        ({"generator": {"kind": "few-shot"}}, "few-shot"),
        ({"generator": {"kind": 5}}, "5"),
        ({"generator": "few-shot"}, None),
    ],
)
def test_the_kind_is_what_the_settings_say(document, kind):
    assert generator_kind(document) == kind


def test_settings_that_cannot_be_read_may_be_of_any_kind(tmp_path):
    path = tmp_path / "config.toml"
    for text, kinds in (
        ('[generator]\nkind = "few-shot"\n', {"few-shot"}),
        ("seed = 1\n", {"vid2vid"}),
        ("generator = [", {"vid2vid", "few-shot"}),
    ):
        path.write_text(text)
        assert {kind for kind in ("vid2vid", "few-shot") if may_be_kind(path, kind)} == kinds
    assert may_be_kind(tmp_path / "nowhere", "vid2vid")
