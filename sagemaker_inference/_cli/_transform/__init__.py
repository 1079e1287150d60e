"""Batch transform on this machine: files are cut, sent and joined as by the platform."""
