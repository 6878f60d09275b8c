"""Report of a run or a set that can be published: one document, as HTML and as PDF."""
