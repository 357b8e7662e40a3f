"""The one door: names, near names, options."""

from __future__ import annotations

import pytest

from graphkit.datasets import load, names


def test_unknown_names_get_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"name: got unknown dataset 'citseer', expected one like citeseer"):
        load("citseer")


def test_a_name_like_no_other_gets_the_whole_list() -> None:
    with pytest.raises(ValueError, match=r"cora.*wisconsin"):
        load("qqqqqqqq")


def test_options_that_no_class_has_are_refused() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        load("cora", no_such_option=1)


def test_every_family_is_listed() -> None:
    known = names()
    assert known == sorted(set(known))
    assert {"karate", "digits", "cora", "citationfull-dblp", "texas", "squirrel", "film", "roman-empire"} <= set(known)
    assert {"movielens100k", "bitcoinotc", "nbody", "exp", "csl", "graph8c", "aids", "molecule-csv"} <= set(known)
