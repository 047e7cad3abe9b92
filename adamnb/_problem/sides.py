"""Values of f beside a point, at one or two offsets along each variable: differences and parabolas."""

from collections.abc import Callable

import numpy as np

Values = Callable[[list[np.ndarray]], list[float]]


class Sides:
    """Values of f at x + a and, where both sides are looked at, at x + b, for each variable alone.

    Parameters
    ----------
    values : callable
        ``values(points) -> list of f``
    x : ndarray, shape (n,)
        Every point is of its dtype.
    f : float
        At x, finite.
    low, high : ndarray, shape (n,)
        Bounds; no point is outside.

    Attributes
    ----------
    a, b, at_a, at_b : ndarray of float64, shape (n,)
        Offsets as x made them, and f there; NaN where there are none.
    both : ndarray of bool, shape (n,)
        Where both offsets belong to the last look.
    """

    def __init__(
        self, values: Values, x: np.ndarray, f: float, low: np.ndarray, high: np.ndarray
    ) -> None:
        self.values, self.x, self.f, self.low, self.high = values, x, f, low, high
        self.up, self.down = (high - x.astype(float)), (x.astype(float) - low)
        self.a, self.b, self.at_a, self.at_b = np.full((4, x.size), np.nan)
        self.both = np.zeros(x.size, bool)

    def look(
        self, which: np.ndarray, near: np.ndarray, far: np.ndarray, both: np.ndarray
    ) -> np.ndarray:
        """Evaluate f beside x along the variables number `which`; return where this gave a number.

        The offsets are `near` upwards and, where `both`, `far` downwards; where there is no room they
        lie on one side, or are shortened. Where f is not finite there is no room the next time.
        """
        points, where = [], []
        for i in which:
            places = [
                min(max(self.x.dtype.type(self.x[i] + offset), self.low[i]), self.high[i])
                for offset in self._offsets(float(near[i]), float(far[i]), bool(both[i]), i)
            ]
            places = [place for place in dict.fromkeys(places) if place != self.x[i]]
            self.both[i] = len(places) == 2
            self.a[i] = self.b[i] = self.at_a[i] = self.at_b[i] = np.nan
            for place, offset, at in zip(
                places, (self.a, self.b), (self.at_a, self.at_b), strict=False
            ):
                point = self.x.copy()
                point[i] = place
                offset[i] = float(place) - float(self.x[i])
                points.append(point)
                where.append((at, i))
        for (at, i), value in zip(where, self.values(points), strict=True):
            at[i] = value
        return self._numbers(which)

    def _offsets(self, near: float, far: float, both: bool, i: int) -> tuple[float, ...]:
        """Return one or two offsets for variable i."""
        up, down = self.up[i], self.down[i]
        if not both:
            if near <= up or near <= down:
                return (near if near <= up else -near,)
            return (up if up >= down else -down,)
        if near <= up and far <= down:
            return near, -far
        if far <= up and near <= down:
            return -near, far
        side, room = (1.0, up) if up >= down else (-1.0, down)
        if near + far > room:
            near, far = room * near / (near + far), room * far / (near + far)
        return side * near, side * (near + far)

    def _numbers(self, which: np.ndarray) -> np.ndarray:
        """Return for which variables all values are numbers; the others get a wall between."""
        good = np.isfinite(self.at_a[which]) & (~self.both[which] | np.isfinite(self.at_b[which]))
        for i in which[~good]:
            for offset, value in ((self.a[i], self.at_a[i]), (self.b[i], self.at_b[i])):
                if offset > 0 and not np.isfinite(value):
                    self.up[i] = offset / 100
                elif offset < 0 and not np.isfinite(value):
                    self.down[i] = -offset / 100
        return good

    def change(self) -> np.ndarray:
        """Return by how much f changes at most."""
        return np.fmax(np.abs(self.at_a - self.f), np.abs(self.at_b - self.f))

    def forward(self) -> np.ndarray:
        """Return the slopes of the lines between x and x + a."""
        return (self.at_a - self.f) / self.a

    def parabola(self) -> tuple[np.ndarray, np.ndarray]:
        """Return slopes and curvatures at x of the parabolas through x, x + a and x + b."""
        to_a, to_b = self.forward(), (self.at_b - self.f) / self.b
        curvature = 2 * (to_a - to_b) / (self.a - self.b)
        return to_a - curvature * self.a / 2, curvature

    def weight(self) -> np.ndarray:
        """Return the slope's error for an error of 1 in each of the three values of f."""
        a, b = self.a, self.b
        return (np.abs(b / a) + np.abs(a / b)) / np.abs(a - b) + np.abs(1 / a + 1 / b)
