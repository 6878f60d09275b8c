"""Campaign and site files: frozen, validated models and their loader."""
