"""The suite for asv, which imports it with this folder's parent out of sight."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
