"""The truth: what was received, made and delivered. Writes in transitions, reads in queries."""
