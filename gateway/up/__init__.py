"""The whole gateway on one machine: roles as child processes, an embedded broker, run files."""
