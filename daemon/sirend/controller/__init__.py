"""``sirend listen``: what a controller does with the calls that ``client`` believes.

In: the effective call of each approach. Out: a relay, a command, an NTCIP preempt. Open ``listen`` first.
"""
