"""What we hold, asked for by keys: for C-FIND, C-MOVE, C-GET and DICOMweb alike."""
