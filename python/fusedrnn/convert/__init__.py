"""Layers from the trained weights of other frameworks, none of which need be installed.

`params` reads arrays by name (`fusedrnn.LSTM.from_params`); the other modules turn what a framework has into that.
"""
