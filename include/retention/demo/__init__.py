"""Demo: the files of a made-up shop."""
