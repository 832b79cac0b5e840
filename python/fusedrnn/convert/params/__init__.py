"""Layers from arrays by name, whatever the order of their gates. It knows no layer class: it is given one."""

from fusedrnn.convert.params.build import layer_from_params as layer_from_params
