"""Candidates on disk: one schema table, immutable part files, an index over them, and export to
other formats.
"""
