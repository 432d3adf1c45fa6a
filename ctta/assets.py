"""Where the files that are not Python live: Hydra configs, CUDA sources, published numbers."""

from pathlib import Path
from typing import Literal

IN_CHECKOUT = {"published": "leaderboard/published"}  # the others lie at the top


def asset_dir(name: Literal["configs", "cuda", "published"]) -> Path:
    """Return the folder ``name``: inside the installed package, else beside it in a checkout.

    Raises:
        ValueError: neither place has the folder, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / IN_CHECKOUT.get(name, name)):
        if folder.is_dir():
            return folder
    raise ValueError(
        f"expected the folder '{name}' in {package} or beside it, found neither: "
        "install the package again with 'pip install --force-reinstall ctta'"
    )
