"""Training: truncated backpropagation through time over long sequences, a training loop, gradients to look at."""

from fusedrnn.training.fit import History, fit
from fusedrnn.training.gradient_flow import GradientFlow, gradient_flow
from fusedrnn.training.tbptt import Update, tbptt

__all__ = ["GradientFlow", "History", "Update", "fit", "gradient_flow", "tbptt"]
