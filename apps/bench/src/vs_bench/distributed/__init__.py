"""What several processes cost a training step, measured here and computed for more: `bench:distributed`."""
