"""Where a recipient's mail goes: the local channel, perhaps under another name, or the remote one.

Facts, not decisions, are stored in todo; this is the decision, made once, when the message is
preprocessed. Source: qmail-send(8) and the recorded routing cases.
"""
LOCAL, REMOTE = "local", "remote"


class Routing:
    """control/locals, percenthack, virtualdomains and envnoathost as they were read. Never changes:
    HUP makes a new one, so threads may share it.

    locals, percenthack: sets of lower-case names. virtualdomains: {lower-case name: prefix or b""}.
    """

    def __init__(self, locals_, percenthack=frozenset(), virtualdomains=None, envnoathost=b"envnoathost"):
        self.locals, self.percenthack = locals_, percenthack
        self.virtualdomains = virtualdomains or {}
        self.envnoathost = envnoathost

    def route(self, recipient):
        """(channel, address): b"joe@virtual.example" → ("local", b"prefix-joe@virtual.example")."""
        if b"@" not in recipient:
            recipient += b"@" + self.envnoathost
        if self.percenthack:
            recipient = self._percent(recipient)
        domain = recipient[recipient.rindex(b"@") + 1:].lower()
        if domain in self.locals:
            return LOCAL, recipient
        if self.virtualdomains:
            prefix = self.virtualdomains.get(recipient.lower())
            if prefix is None:
                prefix = self._by_domain(domain)
            if prefix:
                return LOCAL, prefix + b"-" + recipient
        return REMOTE, recipient

    def without_prefix(self, address):
        """The address as its sender knew it: a virtual domain's prefix is taken off again.

        Only for people to read (bounces): looked up by domain, not by whole address, and by the
        controls of now. Source: qmail-send's stripvdomprepend as recorded.
        """
        box, at, domain = address.rpartition(b"@")
        prefix = self._by_domain(domain.lower()) if at else None
        if prefix and address.startswith(prefix + b"-"):
            return address[len(prefix) + 1:]
        return address

    def _percent(self, recipient):
        """joe%host@hack.example → joe@host, as long as the domain is in control/percenthack."""
        while True:
            box, _, domain = recipient.rpartition(b"@")
            if domain.lower() not in self.percenthack or b"%" not in box:
                return recipient
            recipient = b"@".join(box.rsplit(b"%", 1))

    def _by_domain(self, domain):
        """The value for a lower-case domain: its own entry, else that of its longest suffix that
        starts with a dot, else the catch-all; None without any."""
        found = self.virtualdomains.get(domain)
        at = domain.find(b".")
        while found is None and at >= 0:
            found = self.virtualdomains.get(domain[at:])
            at = domain.find(b".", at + 1)
        return self.virtualdomains.get(b"") if found is None else found


def verp(sender, recipient):
    """The sender that this recipient's copy carries: b"list-@host-@[]" becomes
    b"list-joe=example.org@host" for joe@example.org; every other sender is itself."""
    if not sender.endswith(b"-@[]"):
        return sender
    prefix, at, host = sender[:-4].rpartition(b"@")
    box, recipient_at, domain = recipient.rpartition(b"@")
    if not at or not recipient_at:
        return sender
    return b"%b%b=%b@%b" % (prefix, box, domain, host)


def without_verp(sender):
    """The address that bounces of a message go to: without VERP's ending."""
    return sender[:-4] if sender.endswith(b"-@[]") else sender
