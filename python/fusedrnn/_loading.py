"""Layers from parameters by name, and parameters as PyTorch wants them: what every layer class has of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from numpy.typing import DTypeLike

if TYPE_CHECKING:
    from os import PathLike

Layer = TypeVar("Layer", bound="Loading")


class Loading:
    """The methods; a layer class adds its constructor and its parameters."""

    @classmethod
    def from_params(
        cls: type[Layer],
        mapping: Mapping[str, object] | str | PathLike[str],
        prefix: str | None = None,
        *,
        gates: str | None = None,
        z: Literal["keep", "update"] = "keep",
        transposed: bool = False,
        biases: int = 2,
        names: Mapping[str, str] | None = None,
        dtype: DTypeLike | None = None,
        **options: Any,
    ) -> Layer:
        """A layer with these parameters, whose shapes say how large it is.

        Args:
            mapping: arrays or tensors by name, such as a torch state_dict, or the path of a safetensors file. What
                belongs to other parts of a model may be in it.
            prefix: what the names begin with, such as "encoder.lstm."; after it come weight_ih_l0 and the others, or
                weight_ih and the others of a cell. Not needed where the mapping has one recurrent layer.
            gates: the order of the blocks of gates, such as "ifog", or a framework of docs/howto/loading.md, such as
                "onnx"; None for torch's, "ifgo" of an LSTM and "rzn" of a GRU. Of an LSTM c and j are g; of a GRU
                u is z, and h, c and g are n.
            z: what a GRU's z multiplies: "keep" the old h, as in torch, or "update" the new candidate.
            transposed: whether the matrices are (I, G*H) and (H, G*H), as Keras has them.
            biases: 2, or 1 where a cell has a single one, named bias_ih or bias.
            names: the names of the mapping, after the prefix, by our names, where they are no torch names.
            dtype: float32 or float64; None for float64 where a parameter is, else float32.
            options: of the constructor, but for the sizes, num_layers, bidirectional, bias and proj_size.

        Raises:
            ValueError: parameters are missing, do not fit together or have no place in the layer; no prefix where there
                are several layers; no such order of gates.
            TypeError: an argument of the wrong type, or values that are not floats.
            ImportError, OSError: a safetensors file cannot be read.
        """
        from fusedrnn.convert.params import layer_from_params

        made: Layer = layer_from_params(
            cls,
            mapping,
            prefix,
            gates=gates,
            z=z,
            transposed=transposed,
            biases=biases,
            names=names,
            dtype=dtype,
            options=options,
        )
        return made

    def to_torch_state_dict(self) -> dict[str, Any]:
        """The parameters as a torch state_dict: tensors, copies, to be loaded into the torch.nn class of this name.

        Raises:
            ValueError: the layer has an option that torch.nn does not have.
            ImportError: PyTorch is not installed.
        """
        from fusedrnn.convert.params.torch_state import torch_state_dict

        return torch_state_dict(self)
