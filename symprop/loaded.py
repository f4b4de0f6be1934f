"""When this process read our files: what is changed afterwards is not what runs."""

import time

SINCE = time.time()
"""Seconds since 1970, from before any other of our modules was read."""
