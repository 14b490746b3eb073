"""From a device or a file to windows of two seconds.

In: PortAudio's callback, a camera's stream, or a recording. Out: ``Block`` and ``Gap``, then ``Window``, and what is
wrong with the input. Open ``stream`` first: the values that pass; then ``microphone``, a device as a source, and
``recovery``, which decides when a lost one is opened again.
"""
