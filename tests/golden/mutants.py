"""Deliberately wrong methods: each must turn at least one public golden file red.

Run as ``python tests/golden/mutants.py [DIR]``; exit status 1 if one that does not say why it
survives is caught by nothing. DIR defaults to the public set, else to the slim one. The mutants of
a method stand in ``mutants_<method>.py`` as ``MUTANTS``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from harness import read_case, replay
from mutant import Mutant

HERE = Path(__file__).parent
SETS = (HERE.parents[2] / "shared" / "golden", HERE.parent / "golden_data")


def all_mutants() -> list[Mutant]:
    """Of every file beside this one that has some."""
    modules = [importlib.import_module(file.stem) for file in sorted(HERE.glob("mutants_*.py"))]
    return [mutant for module in modules for mutant in getattr(module, "MUTANTS", [])]


def caught_by(mutant: Mutant, root: Path) -> str | None:
    """Name of the first file that the mutant fails, or None."""
    for file in sorted((root / mutant.method).glob("*.npz")):
        try:
            with mutant.patches():
                report = replay(read_case(file), mutant.cls)
        except AssertionError:
            return file.stem
        if report.failures and not report.undecided:
            return file.stem
    return None


def main() -> int:
    """Print the table; 1 if a mutant that is not listed survives, or a listed one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = next(folder for folder in SETS if folder.is_dir())
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    mutants = all_mutants()
    root, wrong = parser.parse_args().folder, 0
    for mutant in mutants:
        file = caught_by(mutant, root)
        wrong += (file is None) != (mutant.survives is not None)
        verdict = f"caught by {file}" if file else f"SURVIVES ({mutant.survives or 'not listed'})"
        print(f"{mutant.method + ': ' + mutant.fault:50} {verdict}")
    print(f"{len(mutants)} mutants, {wrong} unexpected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
