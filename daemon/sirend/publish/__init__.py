"""From events to whoever must know: the journal on this host and, in ``mqtt``, the broker.

In: ``Event``. Out: lines and messages. Open ``sink`` first: what every receiver of events can do.
"""
