"""The operating system: child processes, an event loop, resources, a runtime folder."""
