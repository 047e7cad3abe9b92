"""`Optimizer`: one step at a time, in place, for loops of the user's own."""

from collections.abc import Callable
from typing import Any, Unpack

import numba
import numpy as np
from numba import types

from ._compiled.loops import OVERLAP, chunk_count, step
from ._compiled.machine_code import array_type, machine_code
from ._compiled.records import OPTIONS
from ._cuda.access import device_vector
from ._minimize import Solver, solver_of
from ._problem import options as _options
from ._problem.annotations import Hyperparameters, MethodName
from ._problem.arguments import on_device, per_variable, refuse_masked
from ._problem.state import checked_state
from ._run import checkpoint
from ._run.settings import is_plain, settings
from ._run.threads import PARALLEL_REGION, forked, thread_count, use_threads
from .schedules import Plateau

KIND = "Optimizer"  # in files

# What can be read and not set, and the way out.
READ_ONLY = {
    "x": "write into the array: `optimizer.x[...] = values`",
    "t": "it is part of `optimizer.state`",
    "method": "make a new Optimizer",
    "threads": "make a new Optimizer",
}


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

    Attributes
    ----------
    x : ndarray or array on a GPU
        The array that is stepped.
    t : int
        Steps taken.
    learning_rate : float, ndarray or callable
        May be set, to anything that the parameter may be. An array that is read is a copy, and
        read-only.
    state : dict
        See there; may be set.
    method : str
    threads : int or None

    Notes
    -----
    eps is added outside the root, after the correction of the bias (Kingma & Ba 2014, Algorithm 1;
    PyTorch, Optax). Keras and TensorFlow add it to the uncorrected root: their eps is this one times
    ``sqrt(1 - beta2**t)``.

    `copy.deepcopy` and `pickle` take x along: the copy goes on with the same bits, on an x of its own,
    ``copy.x``. `copy.copy` steps the same x, with a memory of its own.

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
        method: MethodName | Solver = "adam",
        learning_rate: float | np.ndarray | Callable[[int], float] = 1e-3,
        threads: int | None = None,
        **hyperparameters: Unpack[Hyperparameters],
    ) -> None:
        self._device = None
        if on_device(x):
            self._device = device_vector(x)
            self._shape, self._dtype = self._device.shape, self._device.dtype
            self._size = self._device.size
        else:
            _check(x)
            self._shape, self._dtype, self._size = x.shape, x.dtype, x.size
        row = solver_of(method).method
        for name in hyperparameters:
            if name not in row.defaults:
                text = f"`{name}` is not a hyper-parameter of method {row.name!r}."
                known = (*row.defaults, "learning_rate", "threads")
                raise TypeError(text + _options.suggest(name, known))
        self._x, self._method, self._threads = x, row, threads
        self._count = [0]  # steps; in a list, as `__setattr__` would take a third of a step
        rate = self._checked_rate(learning_rate)
        # The learning rate is followed here, so that to all others it is a number.
        given = {"learning_rate": 1.0, "threads": threads, **hyperparameters}
        self._options = _options.complete(row, given)
        self._settings = settings(row, self._options, self._dtype)
        self._flat: Any
        self._slots: Any
        if self._device is None:
            self._flat = x.reshape(-1)
            self._slots = np.full((row.slots, self._size), row.start, self._dtype)
        else:
            self._flat, self._slots = self._device.row, self._device.rows(row.slots, row.start)
        self._follow(rate)

    def _checked_rate(self, rate: Any) -> Any:
        """Return a learning rate that can be followed: a float, a function, or an array of our own."""
        if rate is None:
            raise TypeError(
                "`learning_rate` must be a number, an array or a function of t: an Optimizer sees no"
                " objective to adapt it to. Use adamnb.minimize for an automatic one."
            )
        if isinstance(rate, Plateau):
            raise TypeError(
                "`learning_rate` must not be a Plateau: an Optimizer sees no objective. Use"
                " adamnb.minimize, or a function of t."
            )
        _options.check("learning_rate", rate, _options.OPTIONS["learning_rate"])
        if callable(rate):
            return rate
        if np.ndim(rate) == 0:
            return float(np.asarray(rate))
        if np.shape(rate) != self._shape:
            raise ValueError(
                f"`learning_rate` must have shape {self._shape}, the shape of x;"
                f" got {np.shape(rate)}."
            )
        rates = per_variable("learning_rate", np.ravel(rate), self._size).astype(self._dtype)
        rates.flags.writeable = False  # else a change of one that was read would be lost
        return rates.reshape(self._shape)

    def _follow(self, rate: Any) -> None:
        """Go on with a checked learning rate."""
        self._learning_rate, self._schedule, self._rate, self._rates = rate, None, 1.0, None
        if isinstance(rate, np.ndarray):
            flat = rate.reshape(-1)
            self._rates = flat if self._device is None else self._device.upload(flat)
        elif callable(rate):
            self._schedule = rate
        else:
            self._rate = rate
        self._prepare()

    def _prepare(self) -> None:
        """Choose between the GPU, the serial and the parallel loop, and have it compiled."""
        self._chunks = None
        if self._device is not None:
            self._parallel = False
            from ._cuda.step import stepper

            self._step = stepper(self._device, self._method, self._rates is not None)
            return
        self._parallel = use_threads(self._size, self._threads)
        if self._parallel:
            self._chunks = np.zeros(chunk_count.py_func(self._size), np.int64)
        self._loop = machine_code(step, self._types())
        self._step = self._on_threads if self._parallel else self._loop

    def _types(self) -> tuple:
        vector, rows = array_type(self._dtype, 1), array_type(self._dtype, 2)
        rates = types.none if self._rates is None else vector
        kind = self._method.numba_type(plain=is_plain(self._options), threads=self._parallel)
        options, real = array_type(OPTIONS, 1), types.float64
        chunks = array_type(np.dtype(np.int64), 1) if self._parallel else types.none
        return kind, vector, vector, rows, rates, options, real, real, chunks

    def step(self, gradient: Any) -> None:
        """Take one step.

        Parameters
        ----------
        gradient : ndarray or array on the GPU of x
            Of the shape and dtype of x, C-contiguous; read, never changed or kept. On a GPU the step
            runs on the stream of the gradient, and the host does not wait for it.

        Raises
        ------
        TypeError, ValueError
            For a wrong gradient, before anything is done.
        FloatingPointError
            If elements of the gradient are not finite or, where the method has a `beta2`, too large to be
            squared: above 6.7e153, or 9.2e18 in float32. These elements of x were left as they are, and
            so was what is remembered of them; the others were stepped. On a GPU nobody looks, as the
            host does not wait.
        """
        g = gradient
        if self._device is not None:
            g = self._device.handle(gradient, "gradient")
        else:
            if (
                type(g) is not np.ndarray
                or (g.dtype is not self._dtype and g.dtype != self._dtype)
                or g.shape != self._shape
                or not g.flags.c_contiguous
            ):
                self._complain(gradient)
            if g.ndim != 1:
                g = g.reshape(-1)
        t = self._count[0] + 1
        rate = self._rate if self._schedule is None else _options.checked_rate(self._schedule, t)
        if self._parallel and forked():
            self._prepare()
        while (
            outcome := self._step(
                None, self._flat, g, self._slots, self._rates, self._settings, t, rate, self._chunks
            )
        ) == OVERLAP:
            g = g.copy()
        self._count[0] = t
        if outcome:
            self._report(gradient)

    def _on_threads(self, *arguments: Any) -> int:
        """Do what the parallel loop does, when no other is under way."""
        with PARALLEL_REGION, thread_count(self._threads):
            return self._loop(*arguments)

    def _complain(self, gradient: Any) -> None:
        """Raise the error that fits a gradient which is not as it must be."""
        refuse_masked("gradient", gradient)
        if on_device(gradient):
            raise TypeError(
                f"`gradient` must be on the host, where x is; got {type(gradient).__name__} on a GPU."
            )
        if not isinstance(gradient, np.ndarray):
            raise TypeError(f"`gradient` must be a NumPy array; got {type(gradient).__name__}.")
        if isinstance(gradient, np.ma.MaskedArray):
            raise TypeError(
                "`gradient` must not be a masked array; pass `gradient.filled(0)` or `gradient.data`."
            )
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

    def _report(self, gradient: np.ndarray) -> None:
        """Raise the error that fits a gradient of which elements could not be used."""
        limit = self._dtype.type(self._settings["gradient_limit"][0])
        index = tuple(int(i) for i in np.argwhere(~(np.abs(gradient) <= limit))[0])
        value = gradient[index]
        if np.isfinite(value):
            rule, way = (
                f"be at most {limit:.2g} to be squared",
                "; divide the objective by a constant",
            )
        else:
            rule, way = "be finite", ""
        where = index[0] if len(index) == 1 else index
        raise FloatingPointError(
            f"`gradient` must {rule}; got {value} at index {where} in step {self.t}{way}. Such elements"
            " of x were left as they are, and the others were stepped."
        )

    @property
    def x(self) -> Any:
        return self._x

    @property
    def t(self) -> int:
        return self._count[0]

    @property
    def method(self) -> str:
        return self._method.name

    @property
    def threads(self) -> int | None:
        return self._threads

    @property
    def learning_rate(self) -> Any:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self._follow(self._checked_rate(learning_rate))

    @property
    def state(self) -> dict[str, Any]:
        """Method, step count, hyper-parameters and slots as plain numbers and arrays, in copies.

        Give it back to an `Optimizer` of the same method, shape and dtype, and the steps go on with
        the same bits. The arrays are NumPy's wherever x is: a state moves between CPU and GPU. What
        `numpy.savez` makes of it is taken as well, and so is JSON, with the slots as lists.
        """
        given = {
            name: type(default)(self._options[name])  # as Python has numbers
            for name, default in self._method.defaults.items()
        }
        slots = self._slots.copy() if self._device is None else self._device.download(self._slots)
        return {"method": self._method.name, "t": self.t, **given, "slots": slots}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._go_on_from(checked_state(state, self._method, self._slots.shape, self._dtype))

    def _go_on_from(self, state: dict[str, Any]) -> None:
        """Take over a checked state."""
        given = {name: state[name] for name in self._method.defaults}
        self._options = self._options | given
        self._settings = settings(self._method, self._options, self._dtype)
        self._prepare()
        if self._device is None:
            self._slots[:] = state["slots"]
        else:
            self._device.replace(self._slots, state["slots"])
        self._count[0] = state["t"]

    def save(self, file: Any) -> None:
        """Save x and `state` to a file (.npz), which is whole at any time: the old one or the new one.

        The learning rate is not saved, which may be a function.

        Raises
        ------
        OSError
            If the file cannot be written; an old one is as it was.
        """
        x = np.asarray(self._flat) if self._device is None else self._device.download(self._flat)
        checkpoint.write(
            checkpoint.file_of(file), self.state | {"x": x.reshape(self._shape), "label.of": KIND}
        )

    def load(self, file: Any) -> None:
        """Go on from what `save` wrote, with the same bits: x, in place, and `state`.

        Raises
        ------
        CheckpointError
            If the file is damaged, or of another method, shape or dtype; nothing has been changed then.
        """
        state = checkpoint.read(file, {"of": KIND})
        x = state.pop("x")
        try:
            if (x.shape, x.dtype) != (self._shape, self._dtype):
                raise ValueError(
                    f"x has shape {x.shape} and dtype {x.dtype}, not {self._shape} and {self._dtype}."
                )
            self.state = state
        except ValueError as error:
            text = f"{str(checkpoint.file_of(file))!r} is of another optimizer: {error}"
            raise checkpoint.CheckpointError(text) from error
        if self._device is None:
            self._flat[:] = x.reshape(-1)
        else:
            self._device.replace(self._flat, x.reshape(self._flat.shape))

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to set what nobody would read."""
        if name.startswith("_") or name in ("learning_rate", "state"):
            object.__setattr__(self, name, value)
        elif name in READ_ONLY:
            raise AttributeError(f"`{name}` of an Optimizer cannot be set: {READ_ONLY[name]}.")
        elif name in self._method.defaults:
            raise AttributeError(
                f"`{name}` cannot be set: it is part of the state, `optimizer.state ="
                f" optimizer.state | {{{name!r}: {value!r}}}`."
            )
        else:
            text = f"`{name}` is no attribute of an Optimizer: set `learning_rate` or `state`."
            raise AttributeError(text + _options.suggest(name, ("learning_rate", "state")))

    def __reduce__(self) -> tuple:
        state = self.state  # waits until a GPU's x is what the last step made of it
        return _restored, (type(self), self._x, self._learning_rate, self._threads, state)

    def __repr__(self) -> str:
        return (
            f"Optimizer({self._method.name}, shape={self._shape}, dtype={self._dtype}, t={self.t})"
        )


def _restored(
    kind: type[Optimizer], x: Any, learning_rate: Any, threads: int | None, state: dict[str, Any]
) -> Optimizer:
    """Return an `Optimizer` that goes on from a state, perhaps on a machine with fewer threads."""
    threads = threads and min(threads, numba.config.NUMBA_NUM_THREADS)
    optimizer = kind(x, state["method"], learning_rate, threads)
    optimizer._go_on_from(state)
    return optimizer


def _check(x: Any) -> None:
    """Raise unless x is an array of the host that can be stepped in place."""
    refuse_masked("x", x)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"`x` must be a NumPy array; got {type(x).__name__}.")
    if x.dtype not in (np.float32, np.float64) or not x.dtype.isnative:
        raise TypeError(f"`x` must have dtype float32 or float64; got {x.dtype}.")
    if not x.flags.carray:
        raise ValueError(
            "`x` must be C-contiguous and writeable, and aligned; use np.ascontiguousarray(x)."
        )
