"""The command line: a thin layer of options and rendering over the library."""
