"""`python -m fusedrnn bench --job char-lm`: a whole training job, beside the same one in PyTorch.

* ``char_lm``: the job, written once for each library;
* ``worker``: the process in which one of them trains, on request, for some seconds;
* ``command``: the alternating rounds;
* ``table``: what they gave.
"""
