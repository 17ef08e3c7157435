"""From a Brian2 network to a `Program`: what one time step does, as Brian2's own optimised statements."""
