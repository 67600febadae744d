"""The audit of numerics: which layers a low precision endangers, and what would help."""
