"""Remove the noise of a sensor, of tape and of a codec, from five frames or one."""
