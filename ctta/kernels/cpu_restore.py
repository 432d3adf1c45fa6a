"""Restoration on the CPU: at random, where only the chosen elements are touched, and by masks."""

from __future__ import annotations

import numpy as np

from ctta.counter.compiled import for_cpu, philox
from ctta.kernels.cpu_table import Array, Table, at
from ctta.kernels.draws import BLOCK, GUIDE_BITS, Draw, gap_table
from ctta.kernels.reference import Tensors, refuse_other_masks

LANES = 16  # Philox counters at a time
MASKS = np.empty(0, np.bool_)


@for_cpu
def _sparse(parameter, start, first, thresholds, guide, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    c0, c1 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    c2, c3 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    n = len(parameter)
    for block in range(first // BLOCK, (first + n - 1) // BLOCK + 1):
        origin = block * BLOCK - first  # of the block, in the tensor
        stop = min(BLOCK, n - origin)
        position, word = np.int64(-1), 0
        while True:
            lane = (word >> 2) % LANES
            if word % (4 * LANES) == 0:
                for i in range(LANES):
                    c0[i], c1[i], c2[i], c3[i] = block, (word >> 2) + i, step, stream
                philox(c0, c1, c2, c3, key0, key1)
            part = word & 3
            if part == 0:
                w = c0[lane]
            elif part == 1:
                w = c1[lane]
            elif part == 2:
                w = c2[lane]
            else:
                w = c3[lane]
            gap = np.int64(guide[w >> (32 - GUIDE_BITS)])
            while gap < BLOCK and thresholds[gap] <= w:
                gap += 1
            position += gap + 1
            if position >= stop:
                break
            i = origin + position
            if i >= 0:
                parameter[i] = start[i]
            word += 1


@for_cpu
def _all_sparse(rows, kind, thresholds, guide, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    first = 0
    for k in range(rows.shape[1]):
        parameter = at(rows, 0, k, kind)
        start = at(rows, 1, k, kind)
        _sparse(parameter, start, first, thresholds, guide, step, stream, key0, key1)
        first += len(parameter)


@for_cpu
def _dense(parameter, start, first, below, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    c0, c1 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    c2, c3 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    n = len(parameter)
    for block in range(first // BLOCK, (first + n - 1) // BLOCK + 1):
        origin = block * BLOCK - first
        for quad in range(0, BLOCK // 4, LANES):
            for i in range(LANES):
                c0[i], c1[i], c2[i], c3[i] = block, quad + i, step, stream
            philox(c0, c1, c2, c3, key0, key1)
            for lane in range(LANES):
                i = origin + 4 * (quad + lane)
                if 0 <= i < n and c0[lane] < below:
                    parameter[i] = start[i]
                if 0 <= i + 1 < n and c1[lane] < below:
                    parameter[i + 1] = start[i + 1]
                if 0 <= i + 2 < n and c2[lane] < below:
                    parameter[i + 2] = start[i + 2]
                if 0 <= i + 3 < n and c3[lane] < below:
                    parameter[i + 3] = start[i + 3]


@for_cpu
def _all_dense(rows, kind, below, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    first = 0
    for k in range(rows.shape[1]):
        parameter = at(rows, 0, k, kind)
        start = at(rows, 1, k, kind)
        _dense(parameter, start, first, below, step, stream, key0, key1)
        first += len(parameter)


def restore_(parameters: Tensors, start: Tensors, draw: Draw) -> None:
    table = Table(parameters, start)
    restore_rows(table.rows, table.kind, draw)


def restore_rows(rows: Array, kind: Array, draw: Draw) -> None:
    """`restore_` of the first group of a table to the second."""
    place = draw.step, draw.stream, *draw.key
    if draw.dense:
        _all_dense(rows, kind, draw.below, *place)
    elif draw.prob:
        gaps = gap_table(draw.prob)
        _all_sparse(rows, kind, gaps.thresholds, gaps.guide, *place)


@for_cpu
def _restore_where(rows, kind, truth):  # type: ignore[no-untyped-def]
    for k in range(rows.shape[1]):
        parameter = at(rows, 0, k, kind)
        start = at(rows, 1, k, kind)
        mask = at(rows, 2, k, truth)
        for i in range(len(parameter)):
            parameter[i] = start[i] if mask[i] else parameter[i]


def restore_where_(parameters: Tensors, start: Tensors, masks: Tensors) -> None:
    refuse_other_masks(masks)
    _restore_where(*Table(parameters, start, masks), MASKS)
