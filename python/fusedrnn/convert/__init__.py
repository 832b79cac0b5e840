"""Layers from the trained weights of other frameworks, none of which need be installed.

`params` reads arrays by name (`fusedrnn.LSTM.from_params`); the other modules turn what a framework has into that.
"""

from fusedrnn.convert.flax import from_flax
from fusedrnn.convert.keras import from_keras
from fusedrnn.convert.keras_files import load_keras
from fusedrnn.convert.torch import from_torch

__all__ = ["from_flax", "from_keras", "from_torch", "load_keras"]
