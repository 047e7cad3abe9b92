"""Models that draw numbers of their own: circuits, expectations, endless data, simulations.

The number of draws stands before the stream; 0 is as many as there could be, a value without noise.
"""

import numpy as np

from problems.bounded import quadratic, spectrum
from problems.mgh import rosenbrock
from problems.problem import Problem, compiled
from problems.streams import normal, stream, uniform


@compiled
def prepare(x, layers, psi):
    """Write the state of qubits into psi, shape (2**qubits,): rotations by x, between them gates CZ.

    `x` has two angles, about y and z, for each qubit in each of `layers` + 1 layers.
    """
    psi[:] = 0.0
    psi[0] = 1.0
    qubits = x.size // (2 * (layers + 1))
    for k in range(0, x.size, 2):
        bit = 1 << (k // 2) % qubits
        c, s = np.cos(0.5 * x[k]), np.sin(0.5 * x[k])
        turn = complex(np.cos(0.5 * x[k + 1]), np.sin(0.5 * x[k + 1]))
        for i in range(psi.size):
            if not i & bit:
                a, b = psi[i], psi[i | bit]
                psi[i] = (c * a - s * b) * turn.conjugate()
                psi[i | bit] = (s * a + c * b) * turn
        if 2 * bit == psi.size and k + 2 < x.size:  # a layer is complete
            for i in range(psi.size):
                if _pairs_of_ones(i) & 1:
                    psi[i] = -psi[i]


@compiled
def _pairs_of_ones(i):
    """How many neighbouring bits of i are both 1."""
    count, both = 0, i & (i >> 1)
    while both:
        count += both & 1
        both >>= 1
    return count


@compiled
def measured(psi, energies, shots, state):
    """The mean energy of `shots` measurements of psi, or what it is expected to be."""
    total = 0.0
    if shots == 0:
        for i in range(psi.size):
            total += (psi[i].real ** 2 + psi[i].imag ** 2) * energies[i]
        return total
    chances = psi.real**2 + psi.imag**2
    for _ in range(shots):
        i, left = 0, uniform(state) - chances[0]
        while left > 0.0 and i < psi.size - 1:
            i += 1
            left -= chances[i]
        total += energies[i]
    return total / shots


@compiled
def energy(x, psi, energies, layers, shots, state):
    """The energy in the two parts of `energies`, shape (2, 2**qubits): along z, and along x."""
    prepare(x, layers, psi)
    e = measured(psi, energies[0], shots, state)
    bit = 1
    while bit < psi.size:
        for i in range(psi.size):
            if not i & bit:
                a, b = psi[i], psi[i | bit]
                psi[i], psi[i | bit] = (a + b) / np.sqrt(2.0), (a - b) / np.sqrt(2.0)
        bit *= 2
    return e + measured(psi, energies[1], shots, state)


@compiled
def circuit(x, g, energies, layers, shots, state):
    """Energy of a variational circuit; its gradient by shifted angles (Schuld et al. 2019)."""
    psi = np.empty(energies.shape[1], np.complex128)
    y = x.copy()
    for i in range(x.size):
        y[i] = x[i] + 0.5 * np.pi
        g[i] = 0.5 * energy(y, psi, energies, layers, shots, state)
        y[i] = x[i] - 0.5 * np.pi
        g[i] -= 0.5 * energy(y, psi, energies, layers, shots, state)
        y[i] = x[i]
    return energy(x, psi, energies, layers, shots, state)


@compiled
def evidence(x, g, precision, centre, draws, state):
    """Minus the evidence lower bound of a normal target by independent normals, up to a constant.

    `x` has the means and the logarithms of the deviations; one draw goes through both (Kingma & Welling
    2013).
    """
    n = centre.size
    widths, drawn, z = np.exp(x[n:]), np.zeros(n), np.empty(n)
    f = -np.sum(x[n:])
    if draws > 0:
        for i in range(n):
            drawn[i] = normal(1.0, state)
    f += quadratic(x[:n] - centre + widths * drawn, z, precision, np.zeros(n))
    for i in range(n):
        g[i] = z[i]
        g[n + i] = z[i] * widths[i] * drawn[i] - 1.0
        if draws == 0:
            spread = precision[i, i] * widths[i] ** 2
            f += 0.5 * spread
            g[n + i] += spread
    return f


@compiled
def newsvendor(x, g, items, weight, total, draws, state):
    """What is ordered beside a random demand costs, and so does what is missing.

    `items` has rows of shape (n,): centre and spread of a logistic demand, cost of a piece left and of one
    missing. ``weight (sum x - total)**2 / 2`` keeps the store.
    """
    excess = np.sum(x) - total
    f = 0.5 * weight * excess**2
    for i in range(x.size):
        centre, spread, left, missing = items[0, i], items[1, i], items[2, i], items[3, i]
        if draws == 0:  # the mean of max(0, x - demand) is a softplus
            z = (x[i] - centre) / spread
            f += (left + missing) * spread * np.logaddexp(0.0, z) - missing * (x[i] - centre)
            g[i] = (left + missing) / (1.0 + np.exp(-z)) - missing + weight * excess
        else:
            u = uniform(state)
            over = x[i] - centre - spread * np.log(u / (1.0 - u))
            slope = left if over > 0.0 else -missing
            f += slope * over
            g[i] = slope + weight * excess
    return f


RATE, LONGEST, ERROR = 0.7, 5.0, 0.3  # of the decay; times up to; deviation of a datum


@compiled
def decay(x, g, draws, state):
    """``E (x1 exp(-x2 t) - y)**2 / 2`` of a decay: every call has data of its own."""
    if draws == 0:
        f, g[0], g[1] = 0.5 * (9.0 * _mean(0, 2.0 * RATE) + ERROR**2), 0.0, 0.0
        for factor, rate, share in ((0.5 * x[0], 2.0 * x[1], 2.0), (-3.0, x[1] + RATE, 1.0)):
            f += x[0] * factor * _mean(0, rate)
            g[0] += share * factor * _mean(0, rate)
            g[1] -= x[0] * share * factor * _mean(1, rate)
        return f
    f, g[:] = 0.0, 0.0
    for _ in range(draws):
        t = LONGEST * uniform(state)
        e = np.exp(-x[1] * t)
        r = x[0] * e - 3.0 * np.exp(-RATE * t) - normal(ERROR, state)
        f += 0.5 * r * r / draws
        g[0] += r * e / draws
        g[1] -= r * x[0] * t * e / draws
    return f


@compiled
def _mean(power, rate):
    """The mean of t**power exp(-rate t) over the times, power 0 or 1."""
    a = rate * LONGEST
    if power == 0:
        return -np.expm1(-a) / a
    return LONGEST * (-np.expm1(-a) / a - np.exp(-a)) / a


@compiled
def simulated_rosenbrock(x, g, noise, step, state):
    """#21 from a simulation with noise, the gradient by central differences of it."""
    f = rosenbrock(x, g)
    if noise > 0.0:
        f += normal(noise, state)
        y, unused = x.copy(), np.empty(x.size)
        for i in range(x.size):
            y[i] = x[i] + step
            above = rosenbrock(y, unused) + normal(noise, state)
            y[i] = x[i] - step
            g[i] = (above - rosenbrock(y, unused) - normal(noise, state)) / (2.0 * step)
            y[i] = x[i]
    return f


@compiled
def simulated_quadratic(x, g, a, noise, step, state):
    """``x . a x / 2`` from a simulation with noise, the gradient by central differences of it."""
    zeros = np.zeros(x.size)
    f = quadratic(x, g, a, zeros)
    if noise > 0.0:
        f += normal(noise, state)
        y, unused = x.copy(), np.empty(x.size)
        for i in range(x.size):
            y[i] = x[i] + step
            above = quadratic(y, unused, a, zeros) + normal(noise, state)
            y[i] = x[i] - step
            g[i] = (above - quadratic(y, unused, a, zeros) - normal(noise, state)) / (2.0 * step)
            y[i] = x[i]
    return f


def ising(qubits, field):
    """Energies of a chain of spins in a field across it, shape (2, 2**qubits): of the pairs, of the field."""
    spins = 1.0 - 2.0 * (np.arange(2**qubits)[:, None] >> np.arange(qubits) & 1)
    return np.array([-np.sum(spins[:, 1:] * spins[:, :-1], axis=1), -field * np.sum(spins, axis=1)])


def problems():
    """Each model with one or two sizes of its noise."""
    found = []

    def add(name, fun, x0, args, noise, none, minimum):
        found.append(
            Problem(
                name,
                fun,
                np.array(x0, float),
                (*args, *noise, stream()),
                minimum=minimum,
                exact=(*args, *none, stream()),
            )
        )

    start = np.random.default_rng(23).uniform(-1.0, 1.0, 18)
    for shots in (3, 30):
        name, args = f"Circuit of 3 qubits, {shots} shots", (ising(3, 1.0), 2)
        add(name, circuit, start, args, (shots,), (0,), CIRCUIT)
    args = spectrum(6, 20, seed=24), np.random.default_rng(24).standard_normal(6)
    add("Evidence lower bound", evidence, np.zeros(12), args, (1,), (0,), EVIDENCE)
    rng = np.random.default_rng(25)
    ranges = ((2.0, 10.0), (0.5, 2.0), (0.5, 1.0), (1.0, 4.0))
    args = np.array([rng.uniform(*ends, 12) for ends in ranges]), 0.02, 60.0
    add("Newsvendor", newsvendor, np.full(12, 5.0), args, (1,), (0,), NEWSVENDOR)
    for draws in (1, 16):
        name = f"Decay, endless data, batch {draws}"
        add(name, decay, [1.0, 2.0], (), (draws,), (0,), DECAY)
    name = "Simulated Rosenbrock, differences"
    start = np.tile([-1.2, 1.0], 2)
    add(name, simulated_rosenbrock, start, (), (1e-3, 1e-2), (0.0, 1e-2), 0.0)
    name, args = "Simulated quadratic, differences", (spectrum(10, 100, seed=10),)
    add(name, simulated_quadratic, np.ones(10), args, (0.1, 0.1), (0.0, 0.1), 0.0)
    return found


# Without noise, from SciPy.
CIRCUIT = -3.4939592074349345
EVIDENCE = 8.742444103880206
NEWSVENDOR = 25.487958479747686
DECAY = 0.045
