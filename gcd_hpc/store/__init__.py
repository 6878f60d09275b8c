"""Candidates on disk: the HDF5 schema, immutable part files, their index, merging and export."""
