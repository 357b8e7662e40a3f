"""Learnable commutative monoids: the second minimum of a multiset of numbers."""
