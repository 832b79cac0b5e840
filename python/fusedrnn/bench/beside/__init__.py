"""`python -m fusedrnn bench --beside`: fusedrnn's default threads against one thread, on a machine that is not quiet.

* ``works``: what is timed: one turn of calls, of which some are ours;
* ``situations``: the named situations, the one list of them: what else runs, and which works are timed beside it;
* ``busy``: processes that compute all the time, and end;
* ``server``: the process in which a situation's works run, block by block;
* ``measurement``: the run itself;
* ``results``: the rows that come out, ``table`` what is shown of them; ``command``: from the options to the exit code.
"""
