"""What compiled derivatives are stamped with."""

from pathlib import Path

from .._compiled.cache import stamp_of

STAMP = stamp_of(Path(__file__).parent)
