"""PNG, TIFF, DPX and JPEG files by OpenImageIO."""
