"""From a YAML file to ``settings``: frozen values that are whole and checked, or every problem at once.

In: a file, the environment's credentials. Out: ``Config``. Open ``settings`` first: every key, its range, its default.
"""
