"""What the clients talk to: neutral servers in C, or one in Python where those are not installed."""
