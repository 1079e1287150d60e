"""The operating system: child processes, the event loop, resources and the runtime folder."""
