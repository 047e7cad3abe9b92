"""A process for starts.py: import jax and optax, minimise Rosenbrock under lax.while_loop."""

import numpy as np
from rivals import optax_while

print(optax_while(np.where(np.arange(10) % 2 == 0, -1.2, 1.0), 1000)())
