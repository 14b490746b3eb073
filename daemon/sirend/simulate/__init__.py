"""Sirens, streets and junctions as sound whose truth is known.

In: tones, distances, levels. Out: a WAV and its truth. Open ``scene`` first; ``sirens`` is the table of tones,
``variation`` draws others, ``synthesis`` makes them sound, and ``truth`` is what is written beside the sound.
"""
