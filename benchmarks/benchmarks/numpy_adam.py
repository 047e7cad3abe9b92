"""Adam as a scientist would write it in NumPy: the baseline of the benchmarks."""

import numpy as np


class NumpyAdam:
    """Adam (Kingma & Ba, Algorithm 1) on x in place."""

    def __init__(self, x, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.x, self.learning_rate = x, learning_rate
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.m, self.v, self.t = np.zeros_like(x), np.zeros_like(x), 0

    def step(self, g):
        self.t += 1
        self.m += (1 - self.beta1) * (g - self.m)
        self.v += (1 - self.beta2) * (g * g - self.v)
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        self.x -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.eps)


def minimize(fun_and_jac, x0, steps):
    """This many steps; returns the best x and f visited."""
    adam = NumpyAdam(x0.copy())
    best_x, best_f = adam.x.copy(), np.inf
    for _ in range(steps):
        f, g = fun_and_jac(adam.x)
        if not (np.isfinite(f) and np.isfinite(g).all()):
            break
        if f < best_f:
            best_x[:], best_f = adam.x, f
        adam.step(g)
    return best_x, best_f
