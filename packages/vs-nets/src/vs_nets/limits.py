"""The most that a configuration may ask for: generous, and finite, because networks are built before they are run."""

MAX_CHANNELS = 16_384
"""Of a layer; whether the memory holds it is another question, which is asked before a network is built."""

MAX_HALVINGS = 12
"""Of the resolution: frames of 4096 pixels become one."""

MAX_SCALES = 8
"""Networks, each on half the resolution of the one before."""

MAX_LAYERS = 256
"""In a row."""

MAX_FRAMES = 64
"""That a network sees at once."""

MAX_WEIGHT = 1e6
"""Of a loss."""
