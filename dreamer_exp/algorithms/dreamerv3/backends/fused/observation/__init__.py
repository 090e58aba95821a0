"""Encoders and decoders of observations around the scans, with their gradients."""
