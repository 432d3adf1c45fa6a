"""Configurations of groups and scalars that others wrote, composed by Hydra."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ctta import plugins
from ctta.assets import asset_dir
from ctta.composition import CompositionError, composition_error, plain, unknown_key
from ctta.console import one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig


class Composer:
    """Installed configurations of groups with scalar overrides, as plain values.

    For values that others wrote: a choice has to be an installed one, and a value is nothing but a
    value. What is installed is looked up once, and every choice of groups is composed once.
    """

    def __init__(self) -> None:
        self.installed: dict[str, dict[str, list[str]]] = {}  # provider -> group -> choices
        self.composed: dict[tuple[tuple[str, str], ...], tuple[DictConfig, dict[str, str]]] = {}

    def __call__(
        self, groups: Mapping[str, str], overrides: Mapping[str, bool | int | float | str | None]
    ) -> dict[str, Any]:
        """The configuration of ``groups`` with ``overrides``.

        Raises:
            ValueError: an unknown choice or key, or a value that does not fit or is missing.
        """
        from omegaconf import OmegaConf
        from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

        chosen = tuple(groups.items())
        if chosen not in self.composed:
            self.composed[chosen] = self.compose(groups)
        base, names = self.composed[chosen]
        config = copy.deepcopy(base)
        try:
            for key, value in overrides.items():  # as Hydra does with what is typed
                OmegaConf.update(config, key, value, merge=True)
            return plain(config, names)
        except (ConfigAttributeError, ConfigKeyError) as error:
            raise ValueError(unknown_key(error) or one_line(error)) from None
        except OmegaConfBaseException as error:
            raise ValueError(one_line(error)) from None

    def plugins(self, groups: Mapping[str, str]) -> dict[str, str]:
        """Which of ``groups``, composed before, are a plug-in's: ``group=name`` -> plug-in."""
        return {
            f"{group}={name}": provider
            for provider, choices in self.installed.items()
            for group, name in groups.items()
            if provider != plugins.BUILT_IN and name in choices.get(group, ())
        }

    def not_installed(self, groups: Mapping[str, str]) -> list[str]:
        """Which of ``groups`` no installed package provides, as ``group=name``."""
        self.look_up()
        return [
            f"{group}={name}"
            for group, name in groups.items()
            if not any(name in choices.get(group, ()) for choices in self.installed.values())
        ]

    def look_up(self) -> None:
        """What is installed, once."""
        if not self.installed:
            folders = plugins.all_folders()
            self.installed = {name: plugins.choices(folder) for name, folder in folders.items()}
            plugins.extend_search_path()

    def compose(self, groups: Mapping[str, str]) -> tuple[DictConfig, dict[str, str]]:
        """The configuration of ``groups`` before it is resolved, and the choice of each group.

        Raises:
            ValueError: an unknown choice, or configurations that do not compose.
        """
        from hydra import compose, initialize_config_dir
        from hydra.errors import CompactHydraException
        from omegaconf import OmegaConf, open_dict
        from omegaconf.errors import OmegaConfBaseException

        for choice in self.not_installed(groups):
            group = choice.partition("=")[0]
            raise ValueError(f"{choice} is not installed; type 'ctta list {group}'")
        words = [f"{group}={name}" for group, name in groups.items()]
        try:
            with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
                composed = compose("config", overrides=words, return_hydra_config=True)
            chosen = cast(dict[str, str], OmegaConf.to_container(composed.hydra.runtime.choices))
            with open_dict(composed):
                del composed["hydra"]
        except CompactHydraException as error:
            raise ValueError(one_line(CompositionError(composition_error(error)))) from None
        except OmegaConfBaseException as error:
            raise ValueError(one_line(error)) from None
        return composed, chosen
