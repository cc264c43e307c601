"""Time that jumps: the event loop, the database and the visitors of simulated experiments."""
