"""A built-in siren through the whole pipeline, as the daemon would hear it.

In: a configuration. Out: a ``SelfTestResult``. Open ``run`` first.
"""
