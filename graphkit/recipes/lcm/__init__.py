"""Learnable commutative monoids: the second minimum of multisets, and six tasks on random graphs."""
