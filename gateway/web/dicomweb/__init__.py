"""DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS over what the gateway holds.

The same matching, selection and reception as C-FIND, C-GET and C-STORE; here is only what HTTP
adds. Instances are read from where they lie; nothing is held but a frame at a time.
"""
