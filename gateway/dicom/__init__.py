"""Pure DICOM: bytes in, values out. No sockets, no database, no clock."""
