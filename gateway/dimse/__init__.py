"""DICOM messages as a requestor: one connection, one thread, every wait bounded.

pynetdicom reads and writes the association negotiation; its association object, which hands
each message through two threads that poll every millisecond, is not used: 860 instances/s
where this reaches 3,000, and it loses a response now and then under load.
"""
