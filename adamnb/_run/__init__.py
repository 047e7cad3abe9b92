"""A minimisation under way: its state, the loops, what follows the last iteration, the result."""
