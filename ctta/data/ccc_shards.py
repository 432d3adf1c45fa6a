"""Published CCC streams: webdataset shards from a folder or over HTTP, read member by member."""

from __future__ import annotations

import io
import logging
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Final

import torch
from PIL import Image
from torch import Tensor

from ctta.data.base import Labelled
from ctta.data.clean import imagenet_test, imagenet_train, thinned
from ctta.data.decoding import View
from ctta.data.sequential import SequentialData
from ctta.places import offline

log = logging.getLogger("ctta")
IMAGES_A_SHARD: Final = 25_000  # or the next multiple of the speed
MAX_MEMBER: Final = 16 << 20
ATTEMPTS: Final = 4
WAIT_SECONDS: Final = 2.0
TIMEOUT_SECONDS: Final = 60
VIEW: Final = View()
REMEDY: Final = "give dataset.shards a folder or an address with the stream's folder"


class CCCShards(SequentialData):
    """One published stream.

    A shard is read once from the front, and nothing of it is kept: memory does not grow.

    Args:
        root: folder of all data sets, for clean ImageNet.
        place: folder or address in which the stream's folder lies.
        stream: name of the stream's folder.
        speed: images a step of the path; decides how many images a shard has.
        n_images: where the stream ends.

    Raises:
        ValueError: no such folder.
    """

    name = "ccc"
    n_classes = 1000

    def __init__(
        self, *, root: str | Path, place: str, stream: str, speed: int, n_images: int
    ) -> None:
        self.root, self.stream, self.n_images = Path(root).expanduser(), stream, n_images
        self.remote = place.startswith(("http://", "https://"))
        self.place = f"{place.rstrip('/') if self.remote else Path(place).expanduser()}/{stream}"
        self.shard_size = -(-IMAGES_A_SHARD // speed) * speed
        if not self.remote and not Path(self.place).is_dir():
            raise ValueError(f"{self.place}: no such folder; {REMEDY}")

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, the stream and its length."""
        return {
            "id": self.name,
            "version": self.version,
            "form": "shards",
            "stream": self.stream,
            "n_images": self.n_images,
            "preprocessing": f"{VIEW}, uint8 / 255",
        }

    def clean_samples(self) -> Labelled | None:
        """ImageNet's validation set; None where that is not there."""
        return thinned(imagenet_test(self.root, workers=1), self.n_images)

    def training_samples(self) -> Labelled:
        """ImageNet's training set."""
        return imagenet_train(self.root, workers=1)

    def blocks(self, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 [n,3,224,224] and labels [n]."""
        images, labels = [], []
        for image, label in self.samples(start):
            images.append(image)
            labels.append(label)
            if len(images) == size:
                yield torch.stack(images), torch.tensor(labels)
                images, labels = [], []
        if images:
            yield torch.stack(images), torch.tensor(labels)

    def samples(self, start: int) -> Iterator[tuple[Tensor, int]]:
        """Images uint8 [3,224,224] and labels, from number ``start`` on."""
        number = start
        while number < self.n_images:
            shard, first = divmod(number, self.shard_size)
            for sample in self.shard(shard, first):
                yield sample
                number += 1
                if number == self.n_images:
                    return

    def shard(self, number: int, first: int) -> Iterator[tuple[Tensor, int]]:
        """The samples of one shard from ``first`` on; a cut connection is taken up again.

        Raises:
            ValueError: no such shard, or one that ends too early or holds something else.
        """
        place = f"{self.place}/serial_{number:05}.tar"
        for attempt in range(ATTEMPTS):
            try:
                with self.opened(place) as file:
                    for position, (name, content, label) in enumerate(members(file, place)):
                        if position >= first:
                            yield decoded(content, f"{place}: {name}"), label
                            first = position + 1
            except (tarfile.TarError, HTTPException, OSError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
            else:
                reason = f"it ends after {first} of {self.shard_size} images"
            if first >= self.shard_size:
                return
            if not self.remote or attempt == ATTEMPTS - 1:
                break
            log.info("%s: %s; image %d is asked for again", place, reason, first)
            time.sleep(WAIT_SECONDS)
        raise ValueError(f"{place}: damaged or cut off ({reason}); get it again, or {REMEDY}")

    def opened(self, place: str) -> IO[bytes]:
        """The shard, read from the front.

        Raises:
            ValueError: it is not there, or the server refuses it.
        """
        try:
            if not self.remote:
                return Path(place).open("rb")
            if offline():
                raise ValueError(f"{place}: CTTA_OFFLINE forbids the network; {REMEDY}")
            response: IO[bytes] = urllib.request.urlopen(place, timeout=TIMEOUT_SECONDS)
            return response
        except FileNotFoundError:
            raise ValueError(f"{place}: no such file; {REMEDY}") from None
        except urllib.error.HTTPError as error:
            if error.code >= 500 or error.code == 429:
                raise  # busy: asked again
            raise ValueError(f"{place}: the server answers {error.code}; {REMEDY}") from None


def members(file: IO[bytes], place: str) -> Iterator[tuple[str, bytes, int]]:
    """Key, JPEG and label of each sample; its members stand side by side in any order.

    Raises:
        ValueError: a sample without image or label, or a label out of range.
        tarfile.TarError: a damaged archive.
    """
    key, parts = "", dict[str, bytes]()
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep every header
            if not member.isfile() or member.size > MAX_MEMBER:
                raise ValueError(f"{place}: {member.name}: expected a file of a few kB; {REMEDY}")
            name, _, kind = member.name.partition(".")
            if name != key and key:
                yield sample(key, parts, place)
                parts = {}
            key = name
            opened = archive.extractfile(member)
            parts[kind] = b"" if opened is None else opened.read()
            if len(parts[kind]) != member.size:
                raise tarfile.ReadError(f"cut inside {member.name}")
    if key:
        yield sample(key, parts, place)


def sample(key: str, parts: dict[str, bytes], place: str) -> tuple[str, bytes, int]:
    """Key, JPEG and label of one sample."""
    if not {"input.jpg", "output.cls"} <= parts.keys():
        raise tarfile.ReadError(f"{key} lacks input.jpg or output.cls")
    text = parts["output.cls"].decode("ascii", "replace").strip()
    if not text.isdecimal() or int(text) >= CCCShards.n_classes:
        raise ValueError(
            f"{place}: {key}.output.cls: expected a label from 0 to 999, got {text[:20]!r}; "
            f"get it again, or {REMEDY}"
        )
    return key, parts["input.jpg"], int(text)


def decoded(content: bytes, place: str) -> Tensor:
    """uint8 [3,224,224] of a JPEG.

    Raises:
        ValueError: it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return VIEW(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        reason = "no image" if "BytesIO" in str(error) else " ".join(str(error).split())
        raise ValueError(
            f"{place}: cannot be decoded ({reason}); get it again, or {REMEDY}"
        ) from None
