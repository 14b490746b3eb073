"""The command ``sirend``.

In: words of a user. Out: an exit code of the contract. Open ``arguments`` first; each command is a function in
``commands`` or ``recordings``.
"""
