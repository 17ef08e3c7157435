"""Does the surrogate take Brian2's steps? For a live network, and for all runs of a script."""
