"""Results in a browser: a page served on this machine alone, and the same as one file that needs no
server.
"""
