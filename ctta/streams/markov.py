"""Two independent Markov chains choose the domain and the class of each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctta.streams.schedules import Index, Segment


def markov(
    labels: Sequence[Index],
    generator: np.random.Generator,
    shuffle: bool,
    *,
    domain_correlation: float | None,
    domain_imbalance: float,
    class_correlation: float | None,
    class_imbalance: float,
    samples_per_state: int,
) -> list[Segment]:
    """One segment; a state is a pair (domain, class), the first is (0, 0).

    Where both chains reach their imbalance by their transitions, the stream ends when a state has
    given ``samples_per_state`` samples. A chain that cannot (see `Chain`) has its states closed
    when they have given their share of samples; the stream ends when all are closed. From a state
    whose transitions all lead to closed ones, an open one is drawn uniformly, of the next domain
    or class where its chain has correlation 1. A state with fewer images than samples starts over.

    Source: LeapLabTHU/UniTTA at c41bce7, ``core/data/unittasampler.py``.

    Args:
        labels: of each domain's samples.
        generator: draws.
        shuffle: the images of a state come in random order; else in file order.
        domain_correlation: the largest self-transition probability, above 0; 1: the domains come
            in order, each until it is used up; None: one over their number, no correlation.
        domain_imbalance: samples of the first domain over those of the last, at least 1.
        class_correlation: as for domains; not 1 if that is.
        class_imbalance: as for domains.
        samples_per_state: of the first state, at least 1.

    Raises:
        ValueError: a value out of range, or a domain that lacks a class.
    """
    kinds = np.unique(np.concatenate(labels))
    images = [[np.flatnonzero(own == kind) for kind in kinds] for own in labels]
    if not all(len(own) for row in images for own in row):
        raise ValueError("markov: expected images of every class in every domain; one lacks some")
    if samples_per_state < 1:
        raise ValueError(f"samples_per_state: expected at least 1, got {samples_per_state}")
    if shuffle:
        images = [[generator.permutation(own) for own in row] for row in images]
    if domain_correlation == class_correlation == 1:
        raise ValueError("class_correlation: expected below 1 with domain_correlation=1, got 1")
    domains = Chain.made("domain", len(labels), domain_correlation, domain_imbalance)
    classes = Chain.made("class", len(kinds), class_correlation, class_imbalance)
    states = walk(domains, classes, samples_per_state, generator)
    index = np.empty(len(states), dtype=np.int64)
    for state in np.unique(states):
        domain, kind = divmod(int(state), len(kinds))
        (own,) = np.nonzero(states == state)
        index[own] = np.resize(images[domain][kind], len(own))
    return [(states // len(kinds), index)]


@dataclass(frozen=True)
class Chain:
    """A Markov chain whose stationary shares fall geometrically from the first state to the last.

    Attributes:
        transition: [n,n], rows sum to 1.
        share: of each state's samples, [n], sums to 1.
        stationary: ``transition`` has these shares as its stationary distribution; else all
            states have one self-transition, and the shares are enforced by closing states.
        in_order: no state is left before it is closed, then for the next one.
    """

    transition: NDArray[np.float64]
    share: NDArray[np.float64]
    stationary: bool
    in_order: bool = False

    @classmethod
    def made(cls, what: str, n: int, correlation: float | None, imbalance: float) -> Chain:
        """The chain of n states with a largest self-transition and an imbalance.

        Raises:
            ValueError: ``what``_correlation or ``what``_imbalance out of range.
        """
        stay = 1 / n if correlation is None else correlation
        if not 0 < stay <= 1:
            raise ValueError(f"{what}_correlation: expected above 0 up to 1, got {stay}")
        if not imbalance >= 1:
            raise ValueError(f"{what}_imbalance: expected at least 1, got {imbalance}")
        if n == 1:
            return cls(np.ones((1, 1)), np.ones(1), True)
        step = imbalance ** (1 / (n - 1))
        share = step ** -np.arange(n, dtype=np.float64)
        stationary = stay < 1 and (1 - stay) * imbalance <= 1 - 1 / n
        # Leaving a state balances arriving: probability of leaving times share is a constant.
        leave = np.full(n, 1 - stay)
        if stationary:
            leave *= imbalance / step ** np.arange(n - 1, -1, -1, dtype=np.float64)
        transition = np.repeat(leave[:, None] / (n - 1), n, axis=1)
        np.fill_diagonal(transition, 1 - leave)
        return cls(transition, share / share.sum(), stationary, stay == 1)


def walk(domains: Chain, classes: Chain, per_state: int, generator: np.random.Generator) -> Index:
    """The states visited, domain times number of classes plus class."""
    share = np.outer(domains.share, classes.share)
    most = np.round(per_state / share[0, 0] * share)
    by_transitions = domains.stationary and classes.stationary
    # A state whose share rounds to none is closed at its first visit.
    longest = per_state * share.size if by_transitions else int(most.sum()) + share.size
    visits = np.empty(longest, np.int64)
    count, is_open = np.zeros(share.shape, np.int64), np.ones(share.shape, bool)
    domain = kind = n = 0
    while True:
        visits[n] = domain * share.shape[1] + kind
        n += 1
        count[domain, kind] += 1
        if by_transitions:
            if count[domain, kind] >= per_state:
                return visits[:n]
        else:
            # The states that are counted, and closed, together.
            if domains.stationary:
                group: tuple[int | slice, int | slice] = (slice(None), kind)
            else:
                group = (domain, slice(None) if classes.stationary else kind)
            if count[group].sum() >= most[group].sum():
                is_open[group] = False
                if not is_open.any():
                    return visits[:n]
        weight = np.outer(domains.transition[domain], classes.transition[kind]) * is_open
        if not weight.any():
            weight = is_open.astype(np.float64)
            if domains.in_order:
                weight[np.arange(share.shape[0]) != domain + 1] = 0
            if classes.in_order:
                weight[:, np.arange(share.shape[1]) != kind + 1] = 0
        total = np.cumsum(weight)
        state = int(np.searchsorted(total, generator.random() * total[-1], side="right"))
        domain, kind = divmod(state, share.shape[1])
