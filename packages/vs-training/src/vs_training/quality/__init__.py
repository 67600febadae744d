"""How good a generator is: clips rolled out from their own frames, scores of every frame, and what they sum up to."""
