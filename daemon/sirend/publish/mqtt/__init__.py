"""The way to the broker and from it: one connection loop for daemon, guests and consumers.

In: events and health. Out: messages that are never stale. Open ``session`` first, then ``outbox``.
"""
