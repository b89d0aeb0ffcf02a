"""The DICOM listener: who may associate, what is received, where it is kept."""
