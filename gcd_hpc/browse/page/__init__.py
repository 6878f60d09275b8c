"""Web page of the results, served on this machine only or written as one HTML file."""
