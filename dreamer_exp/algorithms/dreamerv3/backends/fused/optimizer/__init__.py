"""Flat parameter storage, and LaProp over it."""
