"""A procedural world of dancers: people that one seed decides, in dances that another one does."""

from vs_data.dancers.config import DancersConfig
from vs_data.dancers.source import DancersSource, open_dancers

__all__ = ["DancersConfig", "DancersSource", "open_dancers"]
