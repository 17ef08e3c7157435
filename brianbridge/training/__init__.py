"""Train a surrogate on a task."""
