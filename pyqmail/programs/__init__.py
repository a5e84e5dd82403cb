"""One module a program; bin/NAME is a launcher of a few lines that runs its main(argv)."""
