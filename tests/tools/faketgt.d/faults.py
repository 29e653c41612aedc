# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules: which event, counted how, gets which action.

    EVENT [FILTER=VALUE ...] : ACTION [ARGUMENT ...]

Events: a SCSI command by name (read16, write10, tur, vpd83 ...), by group (read, write, sync, capacity, mode-sense,
modify) or scsi for any; connect, login, discovery, text, nop, tmf, logout, dataout (each Data-Out PDU).

Filters: nth=N begins with the Nth event that fits (1), times=N|all does it so often (1), every=N each Nth of them;
lun=, lba=A[-B] (touches this range), conn=N (of all connections, from 1), port=N (portal, from 0), isid=HEX.

Nothing here is random, so a rule hits the same commands as long as the initiator sends the same ones."""
from dataclasses import dataclass, field

import scsi

SCSI_EVENTS = {"scsi", *scsi.COMMANDS.values(), *scsi.GROUPS}
OTHER_EVENTS = {"connect", "login", "discovery", "text", "nop", "tmf", "logout", "dataout"}

# Where in a command's life an action is carried out.
ARRIVAL, RUN, REPLY = "arrival", "run", "reply"
S, L, P = "scsi", "login", "pdu"  # kinds of events: SCSI commands; login and discovery; all others


@dataclass
class Spec:
    events: str  # kinds it is for
    stage: str = RUN
    args: tuple = (0, 0)  # least and most positional ones
    flags: tuple = ()
    keys: tuple = ()


ACTIONS = {
    # instead of executing
    "status": Spec("scsi login pdu", RUN, (1, 1), ("early", "r2t")),  # early: before the data has come (r2t: is asked for)
    "sense": Spec(
        S, RUN, (1, 1), ("early", "r2t", "deferred", "fixed", "descriptor", "none", "empty", "short", "long"), ("info",)
    ),
    "hold": Spec("scsi login pdu", RUN, (1, 1)),  # execute and answer that many ms later
    "reject": Spec("scsi pdu", ARRIVAL, (1, 1), ("unmatched",)),
    # answers
    "noresp": Spec("scsi login pdu", REPLY, flags=("before",)),
    "delay": Spec("scsi pdu", REPLY, (1, 1)),
    "late": Spec(S, REPLY, (1, 1)),  # as delay, on the nexus' next connection if this one is gone
    "underflow": Spec(S, REPLY, (1, 1)),
    "overflow": Spec(S, REPLY, (1, 1)),
    "nodata": Spec(S, REPLY),
    "short": Spec(S, REPLY, (1, 1)),  # so many bytes less, without a word
    "tgtfail": Spec(S, REPLY),
    "badopcode": Spec(S, REPLY),
    "dup": Spec(S, REPLY),
    "badtag": Spec(S, REPLY),  # one more response that nobody asked for
    "beyond": Spec(S, REPLY, (0, 1)),
    "bigsegment": Spec(S, REPLY),
    "ahs": Spec(S, REPLY),
    "garbage": Spec(S, REPLY, (0, 1)),
    "cut": Spec(S, REPLY, (1, 1), ("fin",)),  # the connection ends after so many bytes of the answer
    # besides
    "drop": Spec("scsi login pdu", RUN, flags=("before", "after", "fin")),
    "powerloss": Spec(S, REPLY, (0, 2), ("before",)),
    "async": Spec(S, ARRIVAL, (1, 1), ("swallow",)),
    "nopin": Spec(S, ARRIVAL, flags=("r2t",)),
    "r2t-beyond": Spec(S, ARRIVAL),
    "stall": Spec("scsi login pdu", ARRIVAL, (1, 1)),  # reads nothing for so many ms
    "hang": Spec("scsi login pdu", ARRIVAL),  # neither reads nor answers until "resume"
    "freeze": Spec(S, ARRIVAL),  # MaxCmdSN stays where it is until "thaw"
    "do": Spec("scsi login pdu", ARRIVAL, (1, 99)),  # a command of the control socket
    # login
    "redirect": Spec(L, RUN, (1, 1)),
    "nodigest": Spec(L, RUN),  # leaves HeaderDigest out of its answer
}


def number(text):
    return int(text, 0)


def span(text):
    first, _, last = text.partition("-")
    return number(first), number(last or first)


def triple(text):
    parts = [int(part, 16) for part in text.split("/")]
    if len(parts) != 3:
        raise ValueError(f"'{text}' is not KEY/ASC/ASCQ in hex")
    return parts


def pair(text):
    parts = [int(part, 16) for part in text.split("/")]
    if len(parts) != 2:
        raise ValueError(f"'{text}' is not ASC/ASCQ in hex")
    return tuple(parts)


@dataclass
class Action:
    name: str
    stage: str
    args: list = field(default_factory=list)
    flags: set = field(default_factory=set)
    values: dict = field(default_factory=dict)

    def number(self, default=None):
        return number(self.args[0]) if self.args else default


def kind_of(event):
    if event in SCSI_EVENTS or event[:2] == "op" or event[:3] == "vpd":
        return S
    if event in ("login", "discovery"):
        return L
    if event in OTHER_EVENTS:
        return P
    raise ValueError(f"no such event: {event}")


def parse_action(words, event):
    if not words or words[0] not in ACTIONS:
        raise ValueError(f"no such action: {' '.join(words)}")
    spec = ACTIONS[words[0]]
    if kind_of(event) not in spec.events:
        raise ValueError(f"{words[0]} is not for {event}")
    action = Action(words[0], spec.stage)
    for word in words[1:]:
        name, eq, value = word.partition("=")
        if word in spec.flags:
            action.flags.add(word)
        elif eq and name in spec.keys:
            action.values[name] = value
        else:
            action.args.append(word)
    if not spec.args[0] <= len(action.args) <= spec.args[1]:
        raise ValueError(f"{words[0]}: arguments: {' '.join(action.args)}")
    settle_stage(action)
    return action


def settle_stage(action):
    """Some flags move an action; some arguments are checked here, when whoever gives the command still listens."""
    if action.name == "sense":
        triple(action.args[0])
    elif spec_is_numeric(action):
        action.number()
    if "early" in action.flags or (action.name in ("drop", "hold") and "before" in action.flags):
        action.stage = ARRIVAL
    if "before" in action.flags and action.name in ("noresp", "powerloss"):
        action.stage = RUN
    if action.name == "drop" and "after" in action.flags:
        action.stage = REPLY


def spec_is_numeric(action):
    return action.args and action.name not in ("redirect", "do", "powerloss")


class Rule:
    def __init__(self, number_, text):
        head, colon, tail = text.partition(":")
        words = head.split()
        if not colon or not words:
            raise ValueError("EVENT [FILTER=VALUE ...] : ACTION")
        self.id = number_
        self.text = text
        self.events = set(scsi.GROUPS.get(words[0], words[:1]))
        self.nth, self.times, self.every = 1, 1, 1
        self.filters = {}
        self.seen = self.hits = 0
        self.action = parse_action(tail.split(), words[0])
        for word in words[1:]:
            self.add_filter(*word.partition("=")[::2])

    def add_filter(self, name, value):
        if name == "nth":
            self.nth = number(value)
        elif name == "every":
            self.every = number(value)
        elif name == "times":
            self.times = None if value == "all" else number(value)
        elif name == "lba":
            self.filters[name] = span(value)
        elif name in ("lun", "conn", "port"):
            self.filters[name] = number(value)
        elif name == "isid":
            self.filters[name] = value
        else:
            raise ValueError(f"no such filter: {name}")

    def fits(self, event, where):
        if event not in self.events and not ("scsi" in self.events and kind_of(event) == S):
            return False
        for name, wanted in self.filters.items():
            value = where.get(name)
            if name == "lba":
                if value is None or value[0] > wanted[1] or value[0] + value[1] <= wanted[0]:
                    return False
            elif value != wanted:
                return False
        return True

    def fires(self):
        """Counts one more event that fits."""
        self.seen += 1
        if self.seen < self.nth or (self.seen - self.nth) % self.every or self.hits == self.times:
            return False
        self.hits += 1
        return True


class Rules:
    def __init__(self):
        self.rules = []
        self.last = 0

    def add(self, text):
        rule = Rule(self.last + 1, text)
        self.last = rule.id
        self.rules.append(rule)
        return rule

    def clear(self, ids=()):
        self.rules = [rule for rule in self.rules if ids and rule.id not in ids]

    def actions(self, event, where):
        """What is to be done about this event: (action, how often its rule has been for it)."""
        return [(rule.action, rule.hits) for rule in self.rules if rule.fits(event, where) and rule.fires()]
