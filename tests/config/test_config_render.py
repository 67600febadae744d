import string
import tomllib

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_config import Adam, Block, Constant, Folder, Optim, Run, Step, Street, Toy
from vs_config import ConfigError, load_config, render_config

finite = st.floats(allow_nan=False)
positive = st.floats(0, 10, exclude_min=True)
text = st.text(max_size=12)
optional_text = st.none() | text.filter(lambda value: value != "none")
adams = st.builds(
    Adam, lr=positive, betas=st.tuples(finite, finite), impl=st.sampled_from(["auto", "fused", "foreach"])
)
schedules = st.builds(Step, every=st.integers(1, 2**62), factor=finite) | st.builds(Constant, warmup=st.integers(0))
optims = st.builds(
    Optim,
    generator=adams,
    discriminator=adams,
    schedule=schedules,
    clip=st.none() | finite,
    cap=st.none() | finite,
)
streets = st.builds(
    Street, height=st.integers(16, 64), width=st.integers(64, 999), cars=st.integers() | st.just("many")
)
folders = st.builds(Folder, root=text, height=st.integers(), teacher=st.none() | optims)
toys = st.builds(
    Toy,
    run=st.builds(
        Run,
        steps=st.integers(1, 10**9),
        seed=st.integers(),
        tags=st.lists(text, max_size=3).map(tuple),
        limits=st.just("off") | st.lists(st.none() | st.integers(), max_size=3).map(tuple),
        device=st.sampled_from(["cpu", "cuda"]),
        deterministic=st.booleans(),
    ),
    data=streets | folders,
    teacher=st.none() | schedules,
    optim=optims,
    blocks=st.lists(st.builds(Block, channels=st.integers(), name=optional_text, inner=adams), max_size=3).map(tuple),
    either=st.lists(schedules | st.integers(), max_size=3).map(tuple),
    pair=st.lists(st.tuples(st.integers(), finite), max_size=3).map(tuple),
    note=st.text(string.printable, max_size=30),
)


@settings(max_examples=60)
@given(toys)
def test_what_is_written_is_read_back_as_the_same_object(toy: Toy) -> None:
    written = render_config(toy)
    read = load_config(Toy, tomllib.loads(written))
    assert read == toy
    assert repr(read) == repr(toy)  # also tells 1 from 1.0 and 0.0 from -0.0
    assert render_config(read) == written


def test_every_field_is_written_with_its_meaning_and_its_alternatives() -> None:
    lines = render_config(Toy()).splitlines()
    assert tomllib.loads("\n".join(lines))["optim"]["discriminator"] == {
        "lr": 4e-4,
        "betas": [0.0, 0.9],
        "impl": "auto",
    }
    at = lines.index("[data] # Where clips come from (kind: one of 'street', 'folder')")
    assert lines[at - 1 : at + 9] == [
        "",
        lines[at],
        'kind = "street"',
        "# Of the frames (a whole number from 16 to 512 pixels)",
        "height = 64",
        "# a whole number from 16 to 4096",
        "width = 128",
        "# a whole number or 'many'",
        'cars = "many"',
        "",
    ]
    at = lines.index("# Which Adam (one of 'auto', 'fused', 'foreach')")
    assert lines[at + 1] == 'impl = "auto"'


def test_none_is_a_comment_where_it_is_the_default_and_a_word_elsewhere() -> None:
    default = render_config(Toy())
    assert "# clip = ..." in default.splitlines()
    assert "# teacher = ..." in default.splitlines()
    assert 'cap = "none"' in render_config(Toy(optim=Optim(cap=None))).splitlines()


def test_the_default_that_counts_is_the_one_of_the_tree_not_of_the_class() -> None:
    outer = attrs.make_class(
        "Outer", {"optim": attrs.field(default=Optim(clip=2.0, cap=None), type=Optim)}, frozen=True
    )
    for optim in (Optim(clip=None, cap=None), Optim(clip=None, cap=1.0), Optim()):
        document = tomllib.loads(render_config(outer(optim=optim)))
        assert load_config(outer, document) == outer(optim=optim)
    assert 'clip = "none"' in render_config(outer(optim=Optim(clip=None)))
    assert "# cap = ..." in render_config(outer(optim=Optim(cap=None)))


def test_the_word_for_none_cannot_be_a_text_that_may_be_none() -> None:
    with pytest.raises(ConfigError, match=r"^blocks\[0\]\.name: the string 'none' cannot be told from None"):
        render_config(Toy(blocks=(Block(name="none"),)))
    assert load_config(Toy, tomllib.loads(render_config(Toy(note="none")))) == Toy(note="none")


def test_the_kind_is_written_where_there_are_others_and_every_table_has_a_header() -> None:
    outer = attrs.make_class("Nest", {"step": attrs.field(type=Step), "inner": attrs.field(factory=Toy, type=Toy)})
    lines = render_config(outer(step=Step())).splitlines()
    assert lines[:3] == ["", "[step]", "every = 100"]
    assert "[inner]" in lines
    assert "[inner.optim]" in lines
