"""The experiments of Lei et al. (2024), each one command: figure, numbers and costs."""
