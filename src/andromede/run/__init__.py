"""What people run: the CLI, configuration, wiring of processes, supervision. The only part that knows every other."""
