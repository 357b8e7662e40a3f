"""Whole experiments: the networks to compare, the demonstration and ``graphkit train``."""
