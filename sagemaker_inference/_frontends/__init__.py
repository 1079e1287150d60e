"""The HTTP servers that clients talk to."""
