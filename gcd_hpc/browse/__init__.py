"""Looking at results: terminal tables, figures and the summary of a run."""
