"""Labels without pictures beside them, and examples of a subject: what a trained model is shown."""

from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence, ReferenceSubject
from vs_data.sequences.opening import open_labels
from vs_data.sequences.references import open_references

__all__ = ["LabelFrame", "LabelRequest", "LabelSequence", "ReferenceSubject", "open_labels", "open_references"]
