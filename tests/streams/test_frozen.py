"""The hashes of every stream that a configuration names; one that moves is another stream.

A hash may move only together with the stream's version.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from ctta.assets import asset_dir
from ctta.build import build
from ctta.data.catalogue import THREE_D_CORRUPTIONS
from ctta.data.corruptions import CORRUPTIONS
from ctta.data.sequential import SequentialData

FILES = sorted(asset_dir("configs").glob("stream/*.yaml"))
FROZEN = {
    "cdc": ("e227c2ec2e29171e", "9ef1bb110d4bb2a0"),
    "continual": ("7c74b1ed5a8e47e6", "c186a266cfc1755f"),
    "correlated": ("723a2de23375a49f", "20baeca514911496"),
    "correlated_note": ("c2d15890f69a0b92", "3cd651bf45e3d819"),
    "correlated_rotta": ("5c6534c38c087a22", "e582cbce49d576ef"),
    "cotta_orders": ("0e2662e7aa4f064f", "1bac98a47b54e2cb"),
    "csc": ("8b15c16d352e0326", "13f6b327c75a827e"),
    "gradual": ("8cd331cfbabfec98", "471acda3158ef3ac"),
    "gradual_correlated": ("1ed30eb6169a23cb", "d984ea9cd09df3fb"),
    "gradual_cotta": ("c303ba57cd2a87d2", "f345c99fac6475da"),
    "label_shift": ("0bb76df00d61830c", "7714b7fcec385fc2"),
    "markov": ("3b6cdd87a5e2c840", "6eb7060098433129"),
    "mixed": ("87e542ae898fb0a2", "8a014e4148db3e27"),
    "mixed_correlated": ("42190ce549b26968", "8856439ed4600a3b"),
    "mixed_correlated_note": ("5d367cd074dac302", "098fab8c207dd560"),
    "petal_orders": ("28867b4763453a8f", "5d53517711d4758a"),
    "petta": ("c7f89b95d2dee484", "0d02c0df8e721faf"),
    "recurring": ("5b6c9742470fd6a4", "e749d38d51891fe4"),
    "reset_each": ("ab445d19aa0c5616", "f095611ecbcae32f"),
    "reset_each_correlated": ("9127b47df1fb00db", "79dc62ad403a486d"),
    "sequential": ("e18a1e77a7f28b1a", "7989cdef18d9cd32"),
    "single_sample": ("13378a84fe80389b", "9abd02e0fea1a474"),
    "speed_limited": ("ab445d19aa0c5616", "f095611ecbcae32f"),
}


class OneOrder(SequentialData):
    """Data that is read from the front to the back."""

    name, n_classes, n_images, identity = "numbers", 10, 1000, {"id": "numbers"}

    def blocks(self, start, size):
        raise AssertionError("hashes read no images")


@cache
def stream(name):
    """The stream of a file over labels that no data set brings along."""
    node = yaml.safe_load((asset_dir("configs") / "stream" / f"{name}.yaml").read_text("utf-8"))
    if name == "sequential":
        return build(node, "stream", data=OneOrder())
    data = SimpleNamespace(
        name="numbers",
        version=1,
        severity=5,
        corruptions=THREE_D_CORRUPTIONS if name == "petal_orders" else CORRUPTIONS,
        identity={"id": "numbers"},
        labels=lambda corruption, severity: np.arange(200) * 7 % 10,
    )
    return build(node.get("stream", node), "stream", data=data)


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_hashes_do_not_move(name):
    made = stream(name)
    assert (made.protocol_sha256[:16], made.stream_sha256[:16]) == FROZEN.get(name)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_says_what_it_is_and_where_it_comes_from(path):
    lines = [line for line in path.read_text("utf-8").splitlines() if "@package" not in line]
    what, source = lines[:2]
    assert what.startswith("# ")
    assert source.startswith("# ")
    assert any(word in source for word in (" at ", "Table", "README"))


@pytest.mark.parametrize(
    ("name", "visits", "segments", "resets"),
    [
        ("gradual", 135, 135, False),
        ("gradual_cotta", 131, 131, False),
        ("petal_orders", 12, 12, False),
        ("recurring", 150, 150, False),
        ("csc", 300, 300, False),
        ("cdc", 300, 20, False),
        ("petta", 300, 1, False),
        ("correlated_rotta", 15, 1, False),
        ("mixed_correlated", 15, 1, False),
        ("label_shift", 15, 15, True),
        ("markov", 15, 1, False),
    ],
)
def test_the_shape_of_each(name, visits, segments, resets):
    made = stream(name)
    assert (len(made.domains), len(made.segments), made.resets) == (visits, segments, resets)
