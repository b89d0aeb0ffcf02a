"""How received instances are kept: append-only tar files that are durable instance by instance."""
