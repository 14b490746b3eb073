"""The command ``sirend``.

In: words of a user. Out: an exit code of the contract. Open ``main`` first; each command is a function in ``commands``.
"""
