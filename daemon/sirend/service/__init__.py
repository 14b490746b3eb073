"""``sirend run``: the supervisor that starts, watches and ends everything else.

In: a configuration. Out: an exit code, and health meanwhile. Open ``daemon`` first.
"""
