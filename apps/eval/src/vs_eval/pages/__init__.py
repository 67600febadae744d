"""The report as a page: one HTML file with everything in it, of an evaluation, of a run, or of several runs."""
