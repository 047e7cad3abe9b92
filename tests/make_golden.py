"""Make data/golden.npz: trajectories of PyTorch and Optax, which the tests compare with.

Run by hand, when a method or a release of either package changes, in an environment that
has them; the tests themselves need neither::

    pip install numpy torch jax optax
    python tests/make_golden.py

Contents of the file (all numeric arrays are float64, but for the integer steps):

=============  ===============================================================================
x0             start, shape (7,)
gradients      the gradient of every step, whatever x is, shape (200, 7)
steps          the steps after which x is stored, shape (9,)
records        JSON: a list of dicts with ``key`` (of the trajectory in this file), ``source``
               (torch or optax), ``name`` (there), ``method`` (in adamnb), ``learning_rate``
               and ``hyperparameters`` (in adamnb's names, every one that was set)
versions       JSON: the version of each package
{source}/{i}   x after each of the steps, shape (9, 7)
=============  ===============================================================================

Left out, because the formula is another one:

* Optax amsgrad takes the maximum of the bias-corrected v, PyTorch and adamnb of the raw v.
* Optax nadam has the constant momentum beta1, PyTorch and adamnb Dozat's schedule mu_t.
* Optax radam adds eps to the root of the bias-corrected v, PyTorch and adamnb to the root of
  the raw v, so it is here with eps = 0 only.
* Optax rmsprop has eps inside the root unless told otherwise; it is here with
  ``eps_in_sqrt=False``, which is PyTorch's.
"""

import importlib.metadata
import json
from pathlib import Path

import jax
import numpy as np
import optax
import torch

# PyTorch keeps the step and NAdam's product of mu_t in its default dtype. In float32 the
# product puts NAdam 3e-8 off; in float64 all of it is float64.
torch.set_default_dtype(torch.float64)
jax.config.update("jax_enable_x64", True)

STEPS = [1, 2, 3, 5, 10, 20, 50, 100, 200]
BETAS = {"beta1": 0.9, "beta2": 0.999}
OTHER_BETAS = {"beta1": 0.75, "beta2": 0.97}

# (name there, method in adamnb, learning rate, hyperparameters in adamnb's names)
TORCH = [
    ("Adam", "adam", 0.1, {**BETAS, "eps": 1e-8}),
    ("Adam", "adam", 0.1, {**BETAS, "eps": 1e-2}),
    ("Adam", "adam", 0.05, {**OTHER_BETAS, "eps": 1e-8}),
    ("Adam", "adam", 0.1, {**BETAS, "eps": 1e-8, "weight_decay": 0.1}),
    ("AdamW", "adamw", 0.1, {**BETAS, "eps": 1e-8, "weight_decay": 0.01}),
    ("Adam", "amsgrad", 0.1, {**BETAS, "eps": 1e-8}),
    ("Adam", "amsgrad", 0.1, {**OTHER_BETAS, "eps": 1e-2, "weight_decay": 0.1}),
    ("NAdam", "nadam", 0.1, {**BETAS, "eps": 1e-8}),
    ("NAdam", "nadam", 0.1, {**OTHER_BETAS, "eps": 1e-2, "weight_decay": 0.1}),
    ("RAdam", "radam", 0.1, {**BETAS, "eps": 1e-8}),
    ("RAdam", "radam", 0.1, {**OTHER_BETAS, "eps": 1e-2, "weight_decay": 0.1}),
    ("Adamax", "adamax", 0.1, {**BETAS, "eps": 1e-8}),
    ("Adamax", "adamax", 0.1, {**OTHER_BETAS, "eps": 1e-2, "weight_decay": 0.1}),
    ("RMSprop", "rmsprop", 0.1, {"beta2": 0.99, "eps": 1e-8}),
    ("RMSprop", "rmsprop", 0.1, {"beta2": 0.97, "eps": 1e-2, "weight_decay": 0.1}),
    ("RMSprop", "rmsprop", 0.1, {"beta2": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": True}),
    ("SGD", "momentum", 0.1, {"momentum": 0.9}),
    ("SGD", "momentum", 0.1, {"momentum": 0.5, "weight_decay": 0.1}),
    ("SGD", "nesterov", 0.1, {"momentum": 0.9}),
    ("SGD", "nesterov", 0.1, {"momentum": 0.5, "weight_decay": 0.1}),
    ("SGD", "sgd", 0.1, {}),
    ("SGD", "sgd", 0.1, {"weight_decay": 0.1}),
]
OPTAX = [
    ("adam", "adam", 0.1, {**BETAS, "eps": 1e-8}),
    ("adam", "adam", 0.1, {**BETAS, "eps": 1e-2}),
    ("adamw", "adamw", 0.1, {**BETAS, "eps": 1e-8, "weight_decay": 0.01}),
    ("radam", "radam", 0.1, {**BETAS, "eps": 0.0}),
    ("adamax", "adamax", 0.1, {**BETAS, "eps": 1e-8}),
    ("adabelief", "adabelief", 0.1, {**BETAS, "eps": 1e-16}),
    ("adabelief", "adabelief", 0.1, {**OTHER_BETAS, "eps": 1e-16, "weight_decay": 0.1}),
    ("yogi", "yogi", 0.1, {**BETAS, "eps": 1e-3}),
    ("yogi", "yogi", 0.1, {**OTHER_BETAS, "eps": 1e-8, "weight_decay": 0.1}),
    ("lion", "lion", 0.1, {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}),
    ("lion", "lion", 0.1, {"beta1": 0.75, "beta2": 0.97, "weight_decay": 0.1}),
    ("rmsprop", "rmsprop", 0.1, {"beta2": 0.99, "eps": 1e-8}),
    ("rmsprop", "rmsprop", 0.1, {"beta2": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": True}),
    ("sgd", "momentum", 0.1, {"momentum": 0.9}),
    ("sgd", "nesterov", 0.1, {"momentum": 0.9}),
    ("sgd", "sgd", 0.1, {}),
]


def problem(steps=200, n=7):
    """Six coordinates of one magnitude each, 1e-6 to 1e6, the last of all; one zero entry."""
    rng = np.random.default_rng(20141222)
    exponent = np.empty((steps, n))
    exponent[:, :-1] = np.linspace(-6, 6, n - 1) + rng.uniform(-1, 1, (steps, n - 1))
    exponent[:, -1] = rng.uniform(-6, 6, steps)
    sign = rng.choice([-1.0, 1.0], (steps, n), p=[0.3, 0.7])
    gradients = sign * 10.0 ** np.clip(exponent, -6, 6)
    gradients[4, 2] = 0.0
    return rng.normal(size=n), gradients


def torch_trajectory(name, method, learning_rate, hyperparameters, x0, gradients):
    arguments = dict(hyperparameters)
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
    elif "beta2" in arguments:
        arguments["alpha"] = arguments.pop("beta2")
    if method in ("amsgrad", "nesterov"):
        arguments[method] = True
    if name == "Adam" or name == "AdamW":
        arguments["fused"] = False
    x = torch.nn.Parameter(torch.tensor(x0))
    optimizer = getattr(torch.optim, name)([x], lr=learning_rate, foreach=False, **arguments)
    points = []
    for g in gradients:
        x.grad = torch.tensor(g)
        optimizer.step()
        points.append(x.detach().numpy().copy())
    return np.array(points)


def optax_trajectory(name, method, learning_rate, hyperparameters, x0, gradients):
    names = {"beta1": "b1", "beta2": "decay" if name == "rmsprop" else "b2"}
    arguments = {names.get(key, key): value for key, value in hyperparameters.items()}
    if name == "rmsprop":
        arguments["eps_in_sqrt"] = False
    if method == "nesterov":
        arguments["nesterov"] = True
    l2 = 0.0 if name in ("adamw", "lion") else arguments.pop("weight_decay", 0.0)
    optimizer = optax.chain(
        optax.add_decayed_weights(l2), getattr(optax, name)(learning_rate, **arguments)
    )
    x = jax.numpy.asarray(x0)
    state = optimizer.init(x)
    update = jax.jit(optimizer.update)
    points = []
    for g in gradients:
        change, state = update(jax.numpy.asarray(g), state, x)
        x = optax.apply_updates(x, change)
        points.append(np.asarray(x))
    return np.array(points)


def main():
    x0, gradients = problem()
    arrays = {"x0": x0, "gradients": gradients, "steps": np.array(STEPS)}
    records = []
    for source, table, trajectory in (
        ("torch", TORCH, torch_trajectory),
        ("optax", OPTAX, optax_trajectory),
    ):
        for i, (name, method, learning_rate, hyperparameters) in enumerate(table):
            points = trajectory(name, method, learning_rate, hyperparameters, x0, gradients)
            assert points.dtype == np.float64, (source, name)
            assert np.isfinite(points).all(), (source, name)
            key = f"{source}/{i}"
            arrays[key] = points[np.array(STEPS) - 1]
            records.append(
                {
                    "key": key,
                    "source": source,
                    "name": name,
                    "method": method,
                    "learning_rate": learning_rate,
                    "hyperparameters": hyperparameters,
                }
            )
    packages = ("numpy", "torch", "jax", "jaxlib", "optax")
    versions = {package: importlib.metadata.version(package) for package in packages}
    path = Path(__file__).parent / "data" / "golden.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, records=json.dumps(records), versions=json.dumps(versions), **arrays)
    print(f"{path}: {len(records)} trajectories, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
