"""What procedural worlds share: arrays, noise, colours, and how shots become clips."""
