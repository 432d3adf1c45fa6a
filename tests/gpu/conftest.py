"""Methods by name are those of the contract's tests, golden files are read by their own reader."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("contract", "golden"))]
