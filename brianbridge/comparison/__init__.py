"""Does the surrogate take Brian2's steps? For a live network, and for a script up to its first run."""
