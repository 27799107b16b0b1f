"""The scheduler: events in, actions out. No socket, no clock, no file, no thread.

``events`` defines events and actions, ``policy`` the order and the limits, ``scheduler`` the
machine.
"""
