"""Studies that come as files: folders, ZIPs, videos and DICOM media, on the network's own path."""
