"""The order of a pass: a permutation, another one each time, and the same in every release."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter

import pytest

from sagemaker_semseg.data.samples import shuffled_order


def test_every_pass_visits_every_sample_in_an_order_of_its_own() -> None:
    orders = [tuple(shuffled_order(7, number, 50)) for number in range(20)]
    assert all(sorted(one) == list(range(50)) for one in orders)
    assert len(set(orders)) == 20
    assert tuple(shuffled_order(8, 0, 50)) != orders[0] == tuple(shuffled_order(7, 0, 50))
    firsts = Counter(int(shuffled_order(0, number, 4)[0]) for number in range(4000))
    assert all(count == pytest.approx(1000, abs=110) for count in firsts.values())


def test_orders_stay_the_same_between_releases() -> None:
    # a run that is continued by a later release must see the images in the order it would have seen
    keys = struct.unpack("<8Q", hashlib.shake_256(b"order 0 0 0").digest(64))
    assert shuffled_order(0, 0, 8).tolist() == sorted(range(8), key=keys.__getitem__) == [3, 0, 6, 2, 1, 5, 4, 7]
