"""`ctta rerun`: run a result's record again and say whether it is the same."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 where the numbers are the same."""
    parser = argparse.ArgumentParser(
        prog="ctta rerun", description="Run a record again, from the record alone, and compare."
    )
    parser.add_argument("result", type=Path, help="a result.json")
    chosen = parser.parse_args(arguments)
    from ctta.results.rerun import rerun_record

    verdict = rerun_record(chosen.result)
    Console(soft_wrap=True).print(str(verdict), highlight=False)
    return 0 if verdict.same else 1
