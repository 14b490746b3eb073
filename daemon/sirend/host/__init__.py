"""The machine beneath: processes, priorities, systemd, files that are whole or absent.

It knows nothing of sirens.
"""
