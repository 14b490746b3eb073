"""Sirens, streets and junctions as sound whose truth is known.

In: tones, distances, levels. Out: a WAV and its truth. Open ``scene`` first; ``sirens`` is the table of tones, and
``truth`` what is written beside the sound.
"""
