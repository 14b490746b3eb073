"""``sirend doctor``: tries what a site needs, on the spot, and prints what it found.

In: a configuration. Out: findings in lines, without secrets, to be sent to support. Open ``report`` first.
"""
