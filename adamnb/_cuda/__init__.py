"""Everything that runs on NVIDIA GPUs; numba.cuda is imported in `driver` alone, when it is needed."""
