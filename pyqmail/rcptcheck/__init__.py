"""Whether a recipient has a mailbox, asked before the message is accepted."""
