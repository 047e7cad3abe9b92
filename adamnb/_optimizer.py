"""`Optimizer`: one step at a time, in place, for loops of the user's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from ._compiled.loops import step
from ._compiled.machine_code import array_type, machine_code
from ._compiled.records import OPTIONS
from ._cuda.access import device_vector
from ._problem import options as _options
from ._problem.arguments import on_device, per_variable, refuse_masked
from ._problem.methods import METHODS
from ._run.settings import is_plain, settings
from ._run.threads import PARALLEL_REGION, forked, thread_count, use_threads
from .schedules import Plateau


class Optimizer:
    """Steps of Adam or one of its relatives, in place on the caller's array.

    Parameters
    ----------
    x : ndarray or array on a GPU, any shape, float32 or float64, C-contiguous and writeable
        The variables. `step` changes this very array; nothing else is kept of it. A GPU's array is
        any object with ``__cuda_array_interface__`` (CuPy, PyTorch, Numba): all is kept there.
    method : str
        Name of a method, as in `minimize`.
    learning_rate : float, ndarray of the shape of x, or callable ``t -> float``
        Step size; t counts steps from 1.
    threads : int, optional
        None chooses by size, 1 is serial. The bits do not depend on it. Not used on a GPU.
    **hyperparameters
        Those of the method, as in `minimize`; the defaults are those of the papers and of PyTorch.

    Notes
    -----
    eps is added outside the root, after the correction of the bias (Kingma & Ba 2014, Algorithm 1;
    PyTorch, Optax). Keras and TensorFlow add it to the uncorrected root: their eps is this one times
    ``sqrt(1 - beta2**t)``.

    Examples
    --------
    >>> import numpy as np, adamnb
    >>> x = np.array([3.0, -2.0])
    >>> opt = adamnb.Optimizer(x, learning_rate=0.1)
    >>> for _ in range(200):
    ...     opt.step(2 * x)
    >>> bool(np.abs(x).max() < 0.01)
    True
    """

    def __init__(
        self,
        x: Any,
        method: str = "adam",
        learning_rate: float | np.ndarray | Callable[[int], float] = 1e-3,
        threads: int | None = None,
        **hyperparameters: Any,
    ) -> None:
        self._device = None
        if on_device(x):
            self._device = device_vector(x)
            self._shape, self._dtype = self._device.shape, self._device.dtype
            self._size = self._device.size
        else:
            _check(x)
            self._shape, self._dtype, self._size = x.shape, x.dtype, x.size
        if method not in METHODS:
            text = f"`method` must be one of {', '.join(METHODS)}; got {method!r}."
            raise ValueError(text + _options.suggest(str(method), METHODS))
        row = METHODS[method]
        for name in hyperparameters:
            if name not in row.defaults:
                text = f"`{name}` is not a hyper-parameter of method {method!r}."
                known = (*row.defaults, "learning_rate", "threads")
                raise TypeError(text + _options.suggest(name, known))
        if learning_rate is None:
            raise TypeError(
                "`learning_rate` must be a number, an array or a function of t: an Optimizer sees no"
                " objective to adapt it to. Use adamnb.minimize for an automatic one."
            )
        if isinstance(learning_rate, Plateau):
            raise TypeError(
                "`learning_rate` must not be a Plateau: an Optimizer sees no objective. Use"
                " adamnb.minimize, or a function of t."
            )
        given = {"learning_rate": learning_rate, "threads": threads, **hyperparameters}
        self._options = _options.complete(row, given)
        self.x, self.method, self.learning_rate, self.threads = x, row, learning_rate, threads
        self.t = 0
        self._settings = settings(row, self._options, self._dtype)
        self._rates: Any = None
        if not callable(learning_rate) and np.ndim(learning_rate):
            if np.shape(learning_rate) != self._shape:
                raise ValueError(
                    f"`learning_rate` must have shape {self._shape}, the shape of x;"
                    f" got {np.shape(learning_rate)}."
                )
            self._rates = per_variable("learning_rate", np.ravel(learning_rate), self._size)
            self._rates = self._rates.astype(self._dtype)
        self._rows: Any
        self._slots: Any
        if self._device is None:
            self._rows = x.reshape(1, -1)
            self._slots = np.full((row.slots, self._size), row.start, self._dtype)
        else:
            self._rows, self._slots = self._device.row, self._device.rows(row.slots, row.start)
            if self._rates is not None:
                self._rates = self._device.upload(self._rates)
        self._schedule, self._rate = None, 1.0
        if callable(learning_rate):
            self._schedule = learning_rate
        elif self._rates is None:
            self._rate = float(np.asarray(learning_rate))
        self._prepare()

    def _prepare(self) -> None:
        """Choose between the GPU, the serial and the parallel loop, and have it compiled."""
        if self._device is not None:
            self._parallel = False
            from ._cuda.step import stepper

            self._step = stepper(self._device, self.method, self._rates is not None)
            return
        self._parallel = use_threads(self._size, self.threads)
        self._step = machine_code(step, self._types())

    def _types(self) -> tuple:
        vector, rows = array_type(self._dtype, 1), array_type(self._dtype, 2)
        rates = types.none if self._rates is None else vector
        plain = is_plain(self._options | {"learning_rate": 1.0})  # a schedule is followed here
        kind = self.method.numba_type(plain=plain, threads=self._parallel)
        options = array_type(OPTIONS, 1)
        return kind, rows, rows, rows, rates, options, types.float64, types.float64

    def step(self, gradient: Any) -> None:
        """Take one step.

        Parameters
        ----------
        gradient : ndarray or array on the GPU of x
            Of the shape and dtype of x, C-contiguous; read, never changed or kept. On a GPU the step
            runs on the stream of the gradient, and the host does not wait for it.
        """
        g = gradient
        if self._device is not None:
            g = self._device.handle(gradient, "gradient")
        else:
            if (
                type(g) is not np.ndarray
                or g.dtype != self._dtype
                or g.shape != self._shape
                or not g.flags.c_contiguous
            ):
                self._complain(gradient)
            g = g.reshape(1, -1)
        t = self.t + 1
        rate = self._rate if self._schedule is None else _options.checked_rate(self._schedule, t)
        if self._parallel and forked():
            self._prepare()
        if self._parallel:
            with PARALLEL_REGION, thread_count(self.threads):
                self._step(None, self._rows, g, self._slots, self._rates, self._settings, t, rate)
        else:
            self._step(None, self._rows, g, self._slots, self._rates, self._settings, t, rate)
        self.t = t

    def _complain(self, gradient: Any) -> None:
        """Raise the error that fits a gradient which is not as it must be."""
        refuse_masked("gradient", gradient)
        if on_device(gradient):
            raise TypeError(
                f"`gradient` must be on the host, where x is; got {type(gradient).__name__} on a GPU."
            )
        if not isinstance(gradient, np.ndarray):
            raise TypeError(f"`gradient` must be a NumPy array; got {type(gradient).__name__}.")
        if gradient.dtype != self._dtype:
            raise TypeError(
                f"`gradient` must have dtype {self._dtype}, that of x; got {gradient.dtype}."
            )
        if gradient.shape != self._shape:
            raise ValueError(
                f"`gradient` must have shape {self._shape}, that of x; got {gradient.shape}."
            )
        if not gradient.flags.c_contiguous:
            raise ValueError("`gradient` must be C-contiguous; use np.ascontiguousarray(gradient).")

    @property
    def state(self) -> dict[str, Any]:
        """Method, step count, hyper-parameters and slots as plain numbers and arrays, in copies.

        Give it back to an `Optimizer` of the same method, shape and dtype, and the steps go on with
        the same bits. The arrays are NumPy's wherever x is: a state moves between CPU and GPU.
        """
        given = {name: self._options[name] for name in self.method.defaults}
        slots = self._slots.copy() if self._device is None else self._device.download(self._slots)
        return {"method": self.method.name, "t": self.t, **given, "slots": slots}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        expected = {"method", "t", "slots", *self.method.defaults}
        if set(state) != expected:
            raise ValueError(f"`state` must have the keys {sorted(expected)}; got {sorted(state)}.")
        if state["method"] != self.method.name:
            raise ValueError(
                f"`state` must be of method {self.method.name!r}; got {state['method']!r}."
            )
        slots = np.asarray(state["slots"])
        if slots.shape != self._slots.shape or slots.dtype != self._slots.dtype:
            raise ValueError(
                f"`state['slots']` must have shape {self._slots.shape} and dtype"
                f" {self._slots.dtype}; got {slots.shape} and {slots.dtype}."
            )
        given = {name: state[name] for name in self.method.defaults}
        self._options = _options.complete(self.method, self._options | given)
        self._settings = settings(self.method, self._options, self._dtype)
        self._prepare()
        if self._device is None:
            self._slots[:] = slots
        else:
            self._device.replace(self._slots, slots)
        self.t = int(state["t"])

    def __repr__(self) -> str:
        return (
            f"Optimizer({self.method.name}, shape={self._shape}, dtype={self._dtype}, t={self.t})"
        )


def _check(x: Any) -> None:
    """Raise unless x is an array of the host that can be stepped in place."""
    refuse_masked("x", x)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"`x` must be a NumPy array; got {type(x).__name__}.")
    if x.dtype not in (np.float32, np.float64) or not x.dtype.isnative:
        raise TypeError(f"`x` must have dtype float32 or float64; got {x.dtype}.")
    if not (x.flags.c_contiguous and x.flags.writeable):
        raise ValueError("`x` must be C-contiguous and writeable; use np.ascontiguousarray(x).")
