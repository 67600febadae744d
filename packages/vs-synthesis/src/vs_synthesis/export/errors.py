"""What can go wrong with an export, in one line each."""

from vs_synthesis.errors import VsSynthesisError


class ExportError(VsSynthesisError):
    """A model that cannot be exported as asked, or whose export does not do what the model does."""
