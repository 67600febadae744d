"""Train vid2vid: hatch run train:vid2vid."""

__version__ = "0.1.0"
