"""Exact derivatives of Numba functions in forward mode; knows nothing of optimisation."""
