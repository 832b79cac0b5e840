"""Networks that one plain network of the core does not compute: options of cells, and what may stand around layers.

* `spec`: what a network is made of; `arguments`: those of a call, checked;
* `dilation`: h_t from h_{t-d}, as more rows of fewer steps;
* `draws`: what is drawn at random while a tape is recorded;
* `connections`: residual and highway connections;
* `level`, `level_tape`: one layer in its directions, by the core's plain network or by its general cell;
* `network`: the whole stack; `tape`: its backward pass; `stream`: step by step.
"""

from fusedrnn._general.network import GeneralNetwork
from fusedrnn._general.spec import Spec

__all__ = ["GeneralNetwork", "Spec"]
