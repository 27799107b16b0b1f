"""The scheduler: events in, actions out. No socket, no clock, no file, no thread.

``events`` holds the words, ``policy`` the order and the limits, ``state`` the machine, and
``budget`` the residency of models. All of it is plain Python that a test can drive by hand.
"""
