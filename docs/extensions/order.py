"""The order in which the gallery shows the examples: from the first steps on."""

FIRST = (
    "plot_first_minimisation.py",
    "plot_scipy_dropin.py",
    "plot_errors.py",
    "plot_t2_map.py",
    "plot_spots.py",
    "plot_sodium_lines.py",
    "plot_learning_rate.py",
)


class ReadingOrder:
    """A key by which to sort: the place among the first, then the name."""

    def __init__(self, source: str) -> None:
        pass

    def __call__(self, name: str) -> tuple[int, str]:
        return FIRST.index(name) if name in FIRST else len(FIRST), name
