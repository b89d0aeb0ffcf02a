"""Pure: frames in, data sets and bytes out. No files, no sockets, no database, no clock."""
