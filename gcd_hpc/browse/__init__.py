"""Presentation of results: terminal tables, figures, summary and web page of a run."""
