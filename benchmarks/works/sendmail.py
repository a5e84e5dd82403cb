"""7: sendmail -t, as scripts and mail readers use it, by an ordinary user."""
from .. import load
from ..bench import Clock, Part, Work, arriving
from ..peers import DOMAIN

PERSON = "bench"


class Sendmail(Work):
    name, title = "7", "`sendmail -t` 500 times"
    parts = [Part("alone", "one after the other", "messages/s", 0.5, 1.0),
             Part("together", "20 at once", "messages/s", 0.5, 1.0)]

    def round(self, bench, peer):
        return {"alone": self.run(bench, peer, bench.amount(500, 5), 1),
                "together": self.run(bench, peer, bench.amount(500, 20), 20)}

    @staticmethod
    def run(bench, peer, messages, loops):
        """Messages a second, until the last is in new/."""
        people = bench.people.get(PERSON)
        with arriving(people) as arrivals:
            clock = Clock()
            load.sendmails(peer.sendmail, f"{PERSON}@{DOMAIN}", messages, loops, people[0].home, PERSON)
            arrivals.wait(messages)
            return messages / clock()
