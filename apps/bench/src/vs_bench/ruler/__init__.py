"""What each metric sees of faults of known size that are planted into true videos."""
