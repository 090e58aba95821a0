"""The replay of the published algorithm: the buffer, its file format, and transfers to the device."""
