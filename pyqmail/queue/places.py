"""How many submissions the queue service has under way at once, for whom, and what they need."""
from ..base import limits

PER_USER = {"qmaild": 20_000, "qmails": 100}    # the network: as many connections as its servers take; bounces
PER_STRANGER = 100                  # of any other uid
STRANGERS = 500                     # of all other uids together: they cannot take the places of those two
FEW = 200                           # of the network, where descriptors are short
EACH = 2                            # descriptors of a submission that waits for its client
OTHERS = 200                        # what the service has open besides
DESCRIPTORS = EACH * (sum(PER_USER.values()) + STRANGERS) + OTHERS


def raise_limits():
    """Get the descriptors for all of them, at the start, as root if possible. Returns how many there are."""
    return limits.descriptors(DESCRIPTORS)


class Places:
    """Who has how many. private: there are no roles, and all places are their owner's. descriptors: those that there are.
    """

    def __init__(self, roles, private, descriptors=DESCRIPTORS):
        self._roles, self._taken, self._strangers = roles, {}, 0
        network = (descriptors - OTHERS) // EACH - PER_USER["qmails"] - STRANGERS
        self._own = {**PER_USER, "qmaild": max(FEW, network)}
        self._private = self._own["qmaild"] if private else None

    def take(self, uid):
        """False if this uid has all that it may have."""
        count = self._taken.get(uid, 0)
        most = self._private or self._own.get(self._roles.get(uid))
        if most is None:
            if self._strangers >= STRANGERS:
                return False
            most = PER_STRANGER
        if count >= most:
            return False
        self._taken[uid] = count + 1
        self._strangers += self._is_stranger(uid)
        return True

    def give_back(self, uid):
        self._taken[uid] -= 1
        if not self._taken[uid]:
            del self._taken[uid]
        self._strangers -= self._is_stranger(uid)

    def _is_stranger(self, uid):
        return not self._private and self._roles.get(uid) not in self._own

    def __len__(self):
        return sum(self._taken.values())
