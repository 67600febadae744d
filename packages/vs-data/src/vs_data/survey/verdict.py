"""What a folder of labels was taken for, and why."""

import attrs

from vs_data.labels import LabelKind


@attrs.frozen(kw_only=True)
class Guess:
    """A kind of label that a folder seems to hold.

    Attributes:
        kind: The configuration that reads it.
        why: What was seen that says so, in a few words.
        questions: What could not be told, each a sentence that somebody who knows the data can answer.
    """

    kind: LabelKind
    why: str
    questions: tuple[str, ...] = ()
