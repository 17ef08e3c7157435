"""The frozen description of a Brian2 network, and the way there and back."""
