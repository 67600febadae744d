"""Data that nobody has described yet: how it is stored, and of which kind the labels in each folder are, by content."""

from vs_data.survey.look import Survey, survey
from vs_data.survey.places import Place, place_at, stored_at
from vs_data.survey.verdict import Guess

__all__ = ["Guess", "Place", "Survey", "place_at", "stored_at", "survey"]
