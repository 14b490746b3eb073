"""From evidence to calls.

In: ``Track``. Out: ``Transition``, and the ``Event`` that tells of it. Open ``machine`` first: the pure state machine.
"""
