"""Convolutions."""

from graphkit.nn.conv.base import FusedMessagePassing
from graphkit.nn.conv.gen_conv import GENConv

__all__ = ["FusedMessagePassing", "GENConv"]
