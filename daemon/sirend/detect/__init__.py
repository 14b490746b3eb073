"""From windows to evidence of a siren.

In: ``Window``. Out: ``Score`` of each window, ``Track`` over many, pitch and motion. Open ``classifier`` first, then
``tracker``; ``bundle`` is the model that they run.
"""
