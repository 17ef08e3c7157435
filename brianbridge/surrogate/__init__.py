"""The differentiable PyTorch twin of a Brian2 network."""
