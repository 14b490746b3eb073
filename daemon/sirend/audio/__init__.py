"""From a device or a file to windows of two seconds.

In: PortAudio's callback, or a recording. Out: ``Block`` and ``Gap``, then ``Window``, and what is wrong with the input.
Open ``stream`` first: the values that pass.
"""
