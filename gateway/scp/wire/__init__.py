"""The C-STORE path: P-DATA read from the socket in place, instead of through pynetdicom's queues.

pynetdicom negotiates and serves everything else; see reader.StoreReader.
"""
