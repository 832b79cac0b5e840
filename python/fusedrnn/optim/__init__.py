"""Optimisers, bounds on gradients, and schedules of the learning rate.

    optimiser = fr.optim.Adam(model.params, lr=1e-3)
    fr.optim.clip_grad_norm(gradients, 1.0)
    optimiser.step(gradients)
"""

from fusedrnn.optim._optimiser import Optimiser
from fusedrnn.optim.clipping import clip_grad_norm, clip_grad_value, grad_norm, norms
from fusedrnn.optim.optimisers import SGD, Adam, AdamW, RMSprop
from fusedrnn.optim.schedules import Schedule, constant, cosine, step_decay, warmup

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimiser",
    "RMSprop",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "constant",
    "cosine",
    "grad_norm",
    "norms",
    "step_decay",
    "warmup",
]
