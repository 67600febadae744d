from typing import Any, ClassVar

import attrs
import pytest
from attrs.validators import ge
from toy_config import Adam, Block, Constant, Folder, Optim, Run, Step, Street, Toy
from vs_config import ConfigError, Problem, load_config, parse_toml, read_toml, resolve_config


def problems(text: str, cls: type = Toy) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(cls, parse_toml(text, "test"))
    return [str(problem) for problem in caught.value.problems]


def load(text: str) -> Toy:
    return load_config(Toy, parse_toml(text, "test"))


def test_nothing_given_means_all_defaults() -> None:
    assert load("") == Toy()


def test_values_of_every_type_are_read() -> None:
    loaded = load(
        """
        note = "hello"
        pair = [[3, 4], [5, 6.5]]
        either = [7, {kind = "constant", warmup = 2}]
        [run]
        steps = 3
        tags = ["a", "b"]
        limits = [1, "none"]
        deterministic = false
        [data]
        kind = "folder"
        root = "clips"
        [teacher]
        kind = "step"
        [[blocks]]
        channels = 4
        name = "none"
        [[blocks]]
        inner = {lr = 2}
        """
    )
    assert loaded == Toy(
        note="hello",
        pair=((3, 4.0), (5, 6.5)),
        either=(7, Constant(warmup=2)),
        run=Run(steps=3, tags=("a", "b"), limits=(1, None), deterministic=False),
        data=Folder(root="clips"),
        teacher=Step(),
        blocks=(Block(channels=4, name=None), Block(inner=Adam(lr=2.0))),
    )
    assert type(loaded.blocks[1].inner.lr) is float


def test_a_partial_table_is_completed_from_the_default_of_its_field_at_any_depth() -> None:
    loaded = load("[optim.discriminator]\nimpl = 'fused'\n[optim.schedule]\nfactor = 0.5")
    assert loaded.optim.discriminator == Adam(lr=4e-4, betas=(0.0, 0.9), impl="fused")
    assert loaded.optim.generator == Adam(lr=1e-4)
    assert loaded.optim.schedule == Step(every=60, factor=0.5)


def test_a_table_within_one_of_another_kind_is_completed_from_the_default_of_its_field_too() -> None:
    @attrs.frozen(kw_only=True)
    class Files:
        kind: ClassVar[str] = "files"
        trust: Step | Constant = attrs.field(default=Constant(warmup=3))

    @attrs.frozen(kw_only=True)
    class Nothing:
        kind: ClassVar[str] = "nothing"

    @attrs.frozen(kw_only=True)
    class Data:
        flow: Nothing | Files = Nothing()

    document = {"flow": {"kind": "files", "trust": {}}}
    assert load_config(Data, document).flow == Files(trust=Constant(warmup=3))
    document = {"flow": {"kind": "files", "trust": {"kind": "step"}}}
    assert load_config(Data, document).flow == Files(trust=Step())


def test_a_table_of_another_kind_takes_the_defaults_of_its_own_class() -> None:
    assert load("[optim.schedule]\nkind = 'constant'").optim.schedule == Constant()
    assert load("[data]\nkind = 'folder'\nroot = 'r'").data == Folder(root="r", height=512)


def test_none_is_written_as_a_word_where_it_is_allowed() -> None:
    assert load("[optim]\ncap = 'none'").optim == Optim(cap=None)
    assert problems("[run]\nseed = 'none'") == ["run.seed: expected a whole number, got 'none'"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nsteps = '3'", "run.steps: expected a whole number from 1 to 1000000000, got '3'"),
        ("[run]\nsteps = 3.0", "run.steps: expected a whole number from 1 to 1000000000, got 3.0"),
        ("[run]\nsteps = true", "run.steps: expected a whole number from 1 to 1000000000, got true"),
        ("[run]\ndeterministic = 1", "run.deterministic: expected true or false, got 1"),
        ("[run]\ntags = 'a'", "run.tags: expected a list (each item a string), got 'a'"),
        ("[run]\ntags = ['a', 1]", "run.tags[1]: expected a string, got 1"),
        ("note = 1979-05-27", "note: expected a string, got the date 1979-05-27"),
        ("optim = 3", "optim: expected a table, got 3"),
        ("[optim.generator]\nlr = 'fast'", "optim.generator.lr: expected a number > 0 and <= 10, got 'fast'"),
        ("[optim.generator]\nlr = true", "optim.generator.lr: expected a number > 0 and <= 10, got true"),
        (
            "[optim.generator]\nbetas = [0.5]",
            "optim.generator.betas: expected a list of 2 items (a number, a number), got [0.5]",
        ),
        (
            "[optim.generator]\nimpl = 'fusde'",
            "optim.generator.impl: expected one of 'auto', 'fused', 'foreach', got 'fusde'; did you mean 'fused'?",
        ),
        ("[optim.generator]\nlr = -1", "optim.generator.lr: expected a number > 0 and <= 10, got -1.0"),
        ("[optim]\nclip = 'x'", "optim.clip: expected a number or 'none', got 'x'"),
        ("[data]\ncars = 'few'", "data.cars: expected a whole number or 'many', got 'few'"),
        ("[data]\ncars = 1.5", "data.cars: expected a whole number or 'many', got 1.5"),
        ("[data]\nheight = 200", "data.width: expected at least height, 200, got 128"),
        ("[data]\nkind = 'folder'", "data.root: missing, and it has no default"),
        (
            "[data]\nkind = 'foldr'",
            "data.kind: expected one of 'street', 'folder', got 'foldr'; did you mean 'folder'?",
        ),
        ("[data]\nkind = 3", "data.kind: expected one of 'street', 'folder', got 3"),
        ("data = 'clips'", "data: expected a table of kind 'street' or 'folder', got 'clips'"),
        (
            "teacher = 'step'",
            "teacher: expected a table of kind 'step' or 'constant' or 'none', got 'step'; "
            "a kind goes inside the table: kind = 'step'",
        ),
        ("[teacher]\nevery = 3", "teacher.kind: missing; expected one of 'step', 'constant'"),
        ("[optim]\ngenratr = 3", "optim.genratr: unknown key; did you mean 'generator'?"),
        ("xyz = 3", "xyz: unknown key; valid keys: run, data, teacher, optim, blocks, either, pair, note"),
        ("[optim.schedule]\nwarmup = 3", "optim.schedule.warmup: unknown key; valid keys: kind, every, factor"),
        ("'a b' = 3", "'a b': unknown key; valid keys: run, data, teacher, optim, blocks, either, pair, note"),
        ("[[blocks]]\n[[blocks]]\nchanels = 2", "blocks[1].chanels: unknown key; did you mean 'channels'?"),
        ("pair = [[1, 2], [1.5, 'x']]", "pair[1][0]: expected a whole number, got 1.5"),
        (
            "[run]\ndevice = 'tpu'",
            "run.device: 'device' must be in ('cpu', 'cuda') (got 'tpu')",
        ),
    ],
)
def test_each_mistake_is_named_with_its_path_and_value(text: str, message: str) -> None:
    assert problems(text)[0] == message


def test_all_mistakes_are_reported_together_in_the_order_of_the_fields() -> None:
    text = """
        extra = 1
        [run]
        steps = 0
        seed = "x"
        [optim.generator]
        lr = -1
        impl = "slow"
        typo = 1
        [data]
        height = 1
        width = 2
        """
    assert [problem.split(": ")[0] for problem in problems(text)] == [
        "run.steps",
        "run.seed",
        "data.height",
        "data.width",
        "optim.generator.lr",
        "optim.generator.impl",
        "optim.generator.typo",
        "extra",
    ]


def test_long_values_are_shortened_and_messages_are_one_line() -> None:
    (message,) = problems(f'[run]\nseed = "{"x" * 500}"')
    assert len(message) < 120
    (message,) = problems("[run]\nseed = '''a\nb'''")
    assert "\n" not in message


def test_an_integer_too_large_for_a_float_is_refused() -> None:
    (message,) = problems(f"[optim.generator]\nlr = 1{'0' * 400}")
    assert message.startswith(
        "optim.generator.lr: expected a number > 0 and <= 10, got a whole number of about 401 digits"
    )


def test_a_defect_of_a_config_class_is_not_taken_for_the_users_mistake() -> None:
    def broken(instance: Any, attribute: Any, value: Any) -> None:
        raise RuntimeError("defect")

    cls = attrs.make_class("Broken", {"x": attrs.field(default=1, validator=broken, type=int)}, frozen=True)
    with pytest.raises(RuntimeError, match="defect"):
        load_config(cls, {"x": 2})


def test_validators_that_need_other_fields_wait_for_the_constructor() -> None:
    def below(instance: Any, attribute: Any, value: int) -> None:
        if value >= instance.high:
            raise ValueError(f"low has to be below high, got {value}")

    cls = attrs.make_class(
        "Range", {"high": attrs.field(default=9, type=int), "low": attrs.field(default=0, validator=below, type=int)}
    )
    assert load_config(cls, {"low": 3}).low == 3
    with pytest.raises(ConfigError, match=r"^low has to be below high, got 9$"):
        load_config(cls, {"low": 9})


def test_what_a_constructor_finds_is_named_from_the_root() -> None:
    @attrs.frozen
    class Inner:
        problem: str = ""

        def __attrs_post_init__(self) -> None:
            if self.problem == "a text":
                raise ValueError("too low")
            if self.problem:
                raise ConfigError([Problem("height", "too low"), Problem("sides[1].x", expected="one", got=2)])

    cls = attrs.make_class("Outer", {"inner": attrs.field(factory=Inner, type=Inner)})

    def problems_of(problem: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_config(cls, {"inner": {"problem": problem}})
        return [str(problem) for problem in caught.value.problems]

    globals().update(Inner=Inner)
    assert problems_of("a text") == ["inner: too low"]
    assert problems_of("data") == ["inner.height: too low", "inner.sides[1].x: expected one, got 2"]


def test_a_text_that_begins_like_a_path_is_not_taken_for_one() -> None:
    cls = attrs.make_class("Talks", {"lr": attrs.field(default=1.0, type=float, validator=ge(0))})
    with pytest.raises(ConfigError) as caught:
        load_config(cls, {"lr": -1})
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == ("lr", "'lr' must be >= 0: -1.0")


def test_problems_are_data() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Toy, {"optim": {"generator": {"lr": -1.0}}}, "my.toml")
    (problem,) = caught.value.problems
    assert (problem.source, problem.path) == ("my.toml", "optim.generator.lr")
    assert (problem.expected, problem.got, problem.message) == ("a number > 0 and <= 10", -1.0, "")


def test_errors_name_their_source_and_are_one_kind() -> None:
    with pytest.raises(ConfigError, match=r"^my\.toml: note: expected a string, got 1$"):
        load_config(Toy, {"note": 1}, "my.toml")
    with pytest.raises(ConfigError) as caught:
        resolve_config(Toy, {"note": 1}, ["run.seed=x", "run.steps=3"], "my.toml")
    assert str(caught.value).splitlines() == [
        "command line: run.seed: expected a whole number, got 'x'",
        "my.toml: note: expected a string, got 1",
    ]


def test_files_that_are_not_toml_give_one_line(tmp_path: Any) -> None:
    path = tmp_path / "c.toml"
    with pytest.raises(ConfigError, match=r"c\.toml: cannot be read: No such file or directory$"):
        read_toml(path)
    path.write_text("a = \n")
    with pytest.raises(ConfigError, match=r"c\.toml: is not TOML: Invalid value \(line 1"):
        read_toml(path)
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=r"c\.toml: is not a text file: invalid start byte at byte 5$"):
        read_toml(path)
    with pytest.raises(ConfigError, match=r": is a directory, not a file$"):
        read_toml(tmp_path)


def test_classes_of_a_union_need_a_kind_each() -> None:
    cls = attrs.make_class("Untagged", {"x": attrs.field(type=Adam | Block)})
    with pytest.raises(RuntimeError, match="needs its own ClassVar `kind`"):
        load_config(cls, {"x": {}})


def test_a_class_alone_checks_its_kind() -> None:
    assert load_config(Street, {"kind": "street", "width": 256}) == Street(width=256)
    with pytest.raises(ConfigError, match=r"^kind: expected 'street', got 'folder'$"):
        load_config(Street, {"kind": "folder"})
