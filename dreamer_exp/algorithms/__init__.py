"""Algorithms: what they share, and one folder for each."""

import os

# Read when ray is imported. Without it, ray.init (2.60) takes _node_ip_address=127.0.0.1 for this host's own address
# and listens on every interface; with it, on loopback, as it does on macOS and Windows anyway. Joining a cluster works
# with both.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
