"""Recordings through the very pipeline of the daemon, faster than real time.

In: sound files. Out: events, scores, a picture. Open ``replay`` first.
"""
