"""The local page: a server at a lower priority than the detection.

In: moments of ``observe``. Out: HTML, JSON, a stream of events. Open ``server`` first.
"""
