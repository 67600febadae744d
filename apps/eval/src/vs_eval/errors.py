"""What can go wrong in an evaluation, in one line each."""


class VsEvalError(Exception):
    """Root of the errors of this app: the caller's mistake, or a run that cannot be evaluated."""


class OptionError(VsEvalError):
    """A command-line option with a value that cannot be.

    Attributes:
        option: its name, dashes included.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
