"""Everything that Numba compiles for the CPU, and nothing else: the sources here stamp the cache."""
