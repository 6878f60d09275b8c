"""From relaxed structures to the phases of a boundary and their measured properties."""
