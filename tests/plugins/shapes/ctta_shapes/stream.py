"""A stream that comes back by the way that it went."""

from __future__ import annotations

from ctta.streams.stream import CorruptedData, CorruptionStream


class ThereAndBack(CorruptionStream):
    """All corruptions in their order, then in the reverse one, with the same images.

    Args:
        data: see `CorruptionStream`, like the rest.
        batch_size: see there.
        seed: see there.
    """

    def __init__(self, data: CorruptedData, *, batch_size: int, seed: int = 0) -> None:
        super().__init__(data, setting="continual", batch_size=batch_size, seed=seed)
        self.name = f"{data.name}/there_and_back"
        self.segments += self.segments[::-1]
        self.protocol |= {"setting": "there_and_back", "there_and_back_version": 1}
