"""What those who look are shown of a running daemon, without ever being waited for.

In: windows, scores, tracks, events. Out: moments, metrics, a terminal. Open ``snapshot`` first: the bounded view.
"""
