"""What is kept of a call when that is switched on: sound, picture, decisions.

In: moments and events. Out: files in a bounded folder. Open ``recorder`` first.
"""
