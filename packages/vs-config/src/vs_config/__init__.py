"""How what people configure is read, and how what they are told is written."""

from vs_config.text import shown

__version__ = "0.1.0"

__all__ = ["shown"]
