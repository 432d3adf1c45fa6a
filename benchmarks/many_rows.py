"""A section of the leaderboard with as many rows as one asks for."""

import hashlib
from dataclasses import replace
from itertools import count
from pathlib import Path

from ctta.leaderboard.board import Section, sections
from ctta.leaderboard.shelf import Filed, Shelf

ENTRIES = Path(__file__).parents[1] / "leaderboard" / "entries"


class ManyRows(Shelf):
    """The shipped folder; its rows come again, each time with one setting more."""

    def __init__(self) -> None:
        super().__init__(ENTRIES)

    def section(self, benchmark: str, setting: str, n_rows: int) -> Section:
        """``n_rows`` rows of a setting, over the traces of those that there are."""
        rows: dict[str, list[Filed]] = {}
        for filed in self.read(self.root / benchmark)[0]:
            if filed.entry.rerun.stream == setting:
                rows.setdefault(filed.entry.rerun.method, []).append(filed)
        again = (rows[method] for _ in count() for method in rows)
        copies = [
            another(filed, number)
            for number, own in zip(range(n_rows), again, strict=False)
            for filed in own
        ]
        (found,) = sections(self, copies)
        return found


def another(filed: Filed, number: int) -> Filed:
    """The entry of a run with one setting more."""
    result = filed.entry.result
    config = {**result.config, "method": {**result.config["method"], "number": number}}
    identity = hashlib.sha256(f"{result.identity}{number}".encode()).hexdigest()
    result = result.model_copy(update={"config": config, "identity": identity})
    entry = filed.entry.model_copy(update={"result": result})
    return replace(filed, where=entry.place.as_posix(), entry=entry)
