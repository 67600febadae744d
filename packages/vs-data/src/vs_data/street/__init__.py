"""A procedural street: pictures, classes, instances and exact flow of a drive that a seed decides."""

from vs_data.street.config import StreetConfig
from vs_data.street.source import CLASS_NAMES, StreetSource, open_street

__all__ = ["CLASS_NAMES", "StreetConfig", "StreetSource", "open_street"]
