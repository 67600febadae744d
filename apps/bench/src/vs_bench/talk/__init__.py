"""The talk "Mixed Precision Training for Video Synthesis", row by row: its numbers beside those of this machine."""
