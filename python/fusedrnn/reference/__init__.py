"""The equations of docs/design/cells.md in plain NumPy: what every result of fusedrnn must be.

`RNN`, `LSTM` and `GRU` take the arguments of the layers of the same name and give the same results, forward and
backward, in float64 or float32. They are written to be read:

* ``activations``: the five functions and their derivatives;
* ``cells``: one time step of each cell, forward and backward;
* ``sequence``: one direction through time: order, ragged lengths, resets, truncation;
* ``layers``: stacks, directions, dropout, and the arguments' layouts;
* ``parameters``: names, shapes and number.

Only NumPy is imported, and no other part of fusedrnn.
"""

from .activations import ACTIVATIONS
from .layers import GRU, LSTM, RNN, Gradients, Tape

__all__ = ["ACTIVATIONS", "GRU", "LSTM", "RNN", "Gradients", "Tape"]
