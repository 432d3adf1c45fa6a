"""The stages of a network, read off its structure."""

from __future__ import annotations

from torch import nn

MOST_STAGES = 4  # of a row of equal blocks, as in a ResNet: ViT-B/16 ends with blocks 9 to 11
LARGEST_SHARE = 0.95  # of a row: a member with more is a network of its own, to be looked into


def stages_of(module: nn.Module, head: str) -> list[list[str]]:
    """Groups of module names in the order of definition, from the stem to what the head receives.

    The body is the shallowest row of numbered siblings (``layer1`` .. ``layer4``, ``blocks.0`` ..
    ``blocks.11``) that holds more than half of the parameters, and not nearly all of them in one of
    its members. Each of them begins a stage; a row of blocks of one class is cut into four. What
    stands before the row is a stage of its own, what stands between or behind belongs to the stage
    before it. Without such a row, every child is a stage. Modules without parameters are in none.

    Args:
        module: the network.
        head: name of its last layer, which is in no stage.
    """
    owner, row = numbered_row(module, head)
    firsts = set(row)
    kinds = {type(module.get_submodule(name)) for name in row}
    if len(kinds) == 1 and nn.Sequential not in kinds:
        firsts = {row[i * len(row) // MOST_STAGES] for i in range(MOST_STAGES)}
    stages: list[list[str]] = []
    for name in parts_around(module, owner, head):
        if not stages or not row or name in firsts:
            stages.append([])
        stages[-1].append(name)
    return stages


def numbered_row(module: nn.Module, head: str) -> tuple[str, list[str]]:
    """The module whose numbered children are the body, and their full names; or "" and none."""
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in named(module)}
    whole = sum(p.numel() for p in module.parameters()) - sizes.get(head, 0)
    for owner, part in sorted([("", module), *named(module)], key=lambda item: depth(item[0])):
        rows: dict[str, list[str]] = {}
        for child, _ in part.named_children():
            name, stem = join(owner, child), child.rstrip("0123456789")
            if child != stem and sizes[name] and not within(head, name):
                rows.setdefault(stem, []).append(name)
        for row in rows.values():
            held = sum(sizes[name] for name in row)
            if 2 * held > whole and max(sizes[name] for name in row) <= LARGEST_SHARE * held:
                return owner, row
    return "", []


def parts_around(module: nn.Module, owner: str, head: str, prefix: str = "") -> list[str]:
    """Names of the children with parameters; those around ``owner`` or ``head`` taken apart."""
    found: list[str] = []
    for child, part in module.named_children():
        name = join(prefix, child)
        if name == head or not any(True for _ in part.parameters()):
            continue
        if within(owner, name) or within(head, name):
            found += parts_around(part, owner, head, name)
        else:
            found.append(name)
    return found


def within(name: str, outer: str) -> bool:
    """Whether ``name`` is the module ``outer`` or one inside it."""
    return f"{name}.".startswith(f"{outer}.")


def join(owner: str, child: str) -> str:
    """The name of a child of ``owner``."""
    return f"{owner}.{child}" if owner else child


def depth(name: str) -> int:
    """How many modules deep a name lies."""
    return len(name.split(".")) if name else 0


def named(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """All modules inside, with their names."""
    return [(name, part) for name, part in module.named_modules() if name]
