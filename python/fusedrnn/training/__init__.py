"""Training: truncated backpropagation through time over long sequences, a training loop, gradients to look at."""

from fusedrnn.training.fit import History, fit
from fusedrnn.training.tbptt import Update, tbptt

__all__ = ["History", "Update", "fit", "tbptt"]
