"""Does a score pick the data that trains the better student? Trains students, and looks."""
