"""Convolutions."""

from graphkit.nn.conv.base import FusedMessagePassing
from graphkit.nn.conv.gen_conv import GENConv
from graphkit.nn.conv.sheaf_conv import SheafConv

__all__ = ["FusedMessagePassing", "GENConv", "SheafConv"]
