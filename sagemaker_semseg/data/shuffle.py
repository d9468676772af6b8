"""What is drawn at random while pictures are read, as pure functions of where one stands in the stream.

In: the seed, the number of a pass over the samples and a place in it. Out: the order of a pass; random bits for one
visit. Called by the training pipeline, which draws crops from the bits, and by ``player``, which sends the samples of a
pass in that order. Neither threads, nor who reads, nor where a run began change what comes out.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import numpy.typing as npt


def order(seed: int, pass_number: int, samples: int) -> npt.NDArray[np.intp]:
    """The order in which a pass visits the samples: a permutation of 0 .. samples - 1."""
    return np.argsort(np.array(random_bits("order", seed, pass_number, 0, samples), np.uint64), kind="stable")


def random_bits(purpose: str, seed: int, pass_number: int, place: int, count: int) -> tuple[int, ...]:
    """``count`` random numbers of 64 bits, a function of the arguments alone.

    A hash (SHAKE256), because it needs no state, is the same on every machine and with every release of numpy, and
    takes a fifth of the time of setting up a generator.
    """
    name = f"{purpose} {seed} {pass_number} {place}".encode()
    return struct.unpack(f"<{count}Q", hashlib.shake_256(name).digest(8 * count))
