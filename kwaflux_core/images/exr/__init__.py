"""OpenEXR files: read, write, header, attributes."""
