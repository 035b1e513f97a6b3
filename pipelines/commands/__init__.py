"""What `psp` does, one command per module, and what they share: console, ownership of PSP_HOME, child processes."""
