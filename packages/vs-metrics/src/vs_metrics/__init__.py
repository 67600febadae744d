"""Image, temporal and flow metrics of clips, and the pictures and videos made from them."""

__version__ = "0.1.0"
