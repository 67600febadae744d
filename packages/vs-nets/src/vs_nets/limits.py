"""The most that a configuration may ask for: generous, and finite, because networks are built before they are run."""

MOST_CHANNELS = 16_384
"""Of a layer; whether the memory holds it is another question, which is asked before a network is built."""

MOST_HALVINGS = 12
"""Of the resolution: frames of 4096 pixels become one."""

MOST_SCALES = 8
"""Networks, each on half the resolution of the one before."""

MOST_LAYERS = 256
"""In a row."""

MOST_FRAMES = 64
"""That a network sees at once."""

LARGEST_WEIGHT = 1e6
"""Of a loss."""
