"""Parts of a model round its recurrent layers, and their losses.

    model = fr.nn.Sequential(fr.nn.Embedding(97, 128), fr.LSTM(128, 256), fr.nn.Linear(256, 97))
    loss, state, tape = model.record_loss(tokens, targets)
    gradients = tape.backward()

Everything runs on the package's own threads and gives the same bits on any number of them.
"""

from fusedrnn.nn import init
from fusedrnn.nn.elementwise import Dropout, ReLU, Sigmoid, Tanh
from fusedrnn.nn.embedding import Embedding
from fusedrnn.nn.encoder_decoder import EncoderDecoder
from fusedrnn.nn.linear import Linear
from fusedrnn.nn.losses import binary_cross_entropy, cross_entropy, huber, mse
from fusedrnn.nn.metrics import accuracy
from fusedrnn.nn.model_tapes import LossTape, ModelTape, SequentialTape
from fusedrnn.nn.padding import pad
from fusedrnn.nn.pooling import LastStep, MaxPool, MeanPool
from fusedrnn.nn.residual import Residual
from fusedrnn.nn.sequential import Sequential

__all__ = [
    "Dropout",
    "Embedding",
    "EncoderDecoder",
    "LastStep",
    "Linear",
    "LossTape",
    "MaxPool",
    "MeanPool",
    "ModelTape",
    "ReLU",
    "Residual",
    "Sequential",
    "SequentialTape",
    "Sigmoid",
    "Tanh",
    "accuracy",
    "binary_cross_entropy",
    "cross_entropy",
    "huber",
    "init",
    "mse",
    "pad",
]
