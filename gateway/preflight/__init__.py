"""The preflight: what public validators let pass and some receiver breaks at.

Every instance we made goes through it before it is sent for the first time; `capsule-gateway
check` runs it on any file. It streams: of pixel data there is one frame in memory.
"""
