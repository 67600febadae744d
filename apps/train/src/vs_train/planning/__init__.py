"""What a run will need, before it begins: memory, time, disk, and the batches that fit."""
