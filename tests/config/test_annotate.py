"""Documents with comments are the documents: what TOML's own reader reads, whatever the comments say."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from vs_config import annotated

KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3),
    lambda inner: st.dictionaries(KEYS, VALUES | inner | st.lists(inner, min_size=1, max_size=2), max_size=3),
    max_leaves=6,
)


@given(TABLES, st.text(max_size=20))
def test_what_is_written_is_read_back(document: dict[str, Any], note: str) -> None:
    notes = dict.fromkeys(document, note)
    assert tomllib.loads(annotated(document, notes, note)) == document


def test_comments_stand_above_what_they_are_of() -> None:
    document = {"seed": 1, "data": {"size": [2, 3], "labels": [{"kind": "edges"}], "flow": {"kind": "dis"}}}
    notes = {"seed": "of all", "data": "clips", "data.size": "pixels", "data.labels[0]": "computed"}
    assert annotated(document, notes, "Mine.") == (
        "# Mine.\n\n# of all\nseed = 1\n\n# clips\n[data]\n# pixels\nsize = [2, 3]\n\n"
        '# computed\n[[data.labels]]\nkind = "edges"\n\n[data.flow]\nkind = "dis"\n'
    )
