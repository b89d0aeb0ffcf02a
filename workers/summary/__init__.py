"""Pure: frames in, key frames and summary objects out. No files, sockets, database, clock."""
