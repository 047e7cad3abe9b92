"""Each constant of the automatic learning rate halved and doubled."""

from adamnb._compiled.rate import AUTOMATIC


def varied():
    """Yield what has been changed, while it is; the first rate by a hundred as well."""
    for name, value in AUTOMATIC.items():
        for factor in (0.5, 2.0) if name != "first_rate" else (0.01, 0.5, 2.0, 100.0):
            AUTOMATIC[name] = value * factor
            try:
                yield f"{name} = {value * factor:g}"
            finally:
                AUTOMATIC[name] = value
