"""Text recognition models of docTR, as they are, before and after `fusedrnn.torch.accelerate`.

    pip install '.[torch]' python-doctr
    python benchmarks/accelerated_ocr.py [--threads N ...] [--rounds N] [--json FILE]

A CRNN is a convolutional network, then two bidirectional LSTMs of 128 units along the line of text (`decoder`). How
much `accelerate` gains is a matter of their share, so that the decoder alone is shown as well. The weights are random,
and the pictures are noise: words are learnt by heart.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from doctr.models import crnn_mobilenet_v3_small, crnn_vgg16_bn

from accelerated import Comparison, options
from fusedrnn.torch import accelerate

WORDS = ["recurrent", "network", "long", "short", "term", "memory", "gated", "unit"]
STEPS = 4


def outputs(net: Any, *inputs: Any, **more: Any) -> list[Any]:
    """What a network or layer returns first, without gradients."""
    net.eval()
    with torch.inference_mode():
        found = net(*inputs, **more)
        return [found["out_map"] if isinstance(found, dict) else found[0]]


def losses(net: Any, pictures: Any) -> list[list[float]]:
    """Of STEPS steps with a copy of the network: each call begins where the network is."""
    twin = copy.deepcopy(net).train()
    torch.manual_seed(0)  # of dropout, where there is any
    optimiser = torch.optim.Adam(twin.parameters(), lr=1e-4)
    values = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = twin(pictures, target=WORDS)["loss"]
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    return [values]


def features(net: Any, pictures: Any) -> Any:
    """What the decoder gets for these pictures."""
    seen = []
    hook = net.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    outputs(net, pictures, return_model_output=True)
    hook.remove()
    return seen[0]


def main(argv: Sequence[str] | None = None) -> None:
    comparison = Comparison(options(__doc__, "accelerated_ocr.py", argv), ["python-doctr", "torchvision"])
    torch.manual_seed(0)
    pictures = torch.rand(len(WORDS), 3, 32, 128)
    for make in (crnn_vgg16_bn, crnn_mobilenet_v3_small):
        name = f"docTR {make.__name__}"
        net = make(pretrained=False, pretrained_backbone=False)
        twin = copy.deepcopy(net)
        print(accelerate(twin))
        seen = features(net, pictures)
        for _ in comparison.threads():
            predict = partial(outputs, return_model_output=True)
            what = f"{len(WORDS)} pictures"
            comparison.predict(name, what, partial(predict, net, pictures), partial(predict, twin, pictures))
            decoders = (partial(outputs, each.decoder, seen) for each in (net, twin))
            comparison.predict(name, f"{what}, the decoder alone", *decoders)
            comparison.train(
                name, f"training, {STEPS} steps", partial(losses, net, pictures), partial(losses, twin, pictures)
            )


if __name__ == "__main__":
    sys.exit(main())
