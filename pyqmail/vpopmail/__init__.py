"""Virtual domains in vpopmail's files: mail users that are in no system password file."""
