"""Random rules, each with the instants at which the clock can turn it."""

from dataclasses import dataclass, field

SPANS = ["1 minute", "6 hours", "1 day", "36 hours", "3 days", "7 days", "2 weeks", "30 days", "90 days",
         "1 day 00:00:00.000001"]
CALENDAR = ["1 month", "3 months", "1 month 3 days", "1 year"]
COMPARE = [">", ">=", "<", "<=", "=", "<>"]


@dataclass
class Rule:
    text: str
    per: str
    time_zone: str
    calendar: bool                               # months or a zone with daylight saving time: turns are searched wider
    breaks: list = field(default_factory=list)   # SQL over an event's columns: when the clock meets it
    person_breaks: list = field(default_factory=list)  # SQL over traits
    asked: list = field(default_factory=list)    # places of the rules whose segments it asks about
    is_value: bool = False                       # a computed trait

    def __str__(self):
        per = f"\n    per {self.per}" if self.per else ""
        return f"{self.text}{per}\n    time zone {self.time_zone}" + "\n    a computed trait" * self.is_value


class Maker:
    def __init__(self, random, values=0.0):
        self.random, self.values = random, values  # how many are computed traits

    def rule(self, others=()):
        """It may ask about the segments and computed traits of the others, which are called s1, s2 and so on."""
        random = self.random
        self.others, self.asked = others, set()
        roll = random.random()
        self.zone = "Europe/Amsterdam" if roll < 0.12 else "America/New_York" if roll < 0.15 else "UTC"
        self.months = random.random() < (0.5 if self.zone != "UTC" else 0.08)
        self.breaks, self.person_breaks, self.truncated = set(), set(), False
        per = None
        is_value = self.values > 0 and random.random() < self.values
        if not is_value and random.random() < 0.25:
            per = random.choice(["properties->>'product_id'"] * 4 + ["event", "occurred_at::date", "type || source"])
        text = self.value() if is_value else self.condition(random.choice([0, 1, 1, 2]))
        calendar = self.zone != "UTC" or self.months or self.truncated
        return Rule(text, per, self.zone, calendar, sorted(self.breaks), sorted(self.person_breaks), sorted(self.asked), is_value)

    def condition(self, depth):
        random = self.random
        if depth == 0:
            return self.leaf()
        parts = [self.condition(depth - 1) for _ in range(random.choice([2, 2, 3]))]
        joined = random.choice([" AND ", " AND ", " OR "]).join(parts)
        return random.choice(["({})"] * 9 + ["NOT ({})", "({}) IS NOT TRUE", "coalesce({}, true)"]).format(joined)

    def leaf(self):
        return self.random.choice([
            self.count, self.count, self.count, self.count, self.between, self.total, self.extreme, self.other, self.distinct,
            self.flag, self.latest, self.latest, self.order, self.since, self.trait, self.trait, self.trait_time,
            self.property_time, self.truncation, self.weighted, self.last_event, self.clock_free, self.sequence,
            self.sequence, self.funnel, self.edge, self.zoned, self.doubtful, self.membership, self.membership,
            self.trait_since, self.trait_since])()

    # Pieces.
    def span(self):
        return self.random.choice(CALENDAR if self.months and self.random.random() < 0.7 else SPANS)

    def predicate(self):
        random = self.random
        return random.choice([
            "event = 'Viewed'", "event = 'Added'", "event = 'Bought'", "event IN ('Added', 'Bought')", "true",
            "type = 'page'", "event <> 'Mailed'", "properties->>'product_id' = 'p1'",
            "(properties->>'price')::numeric > 5", "event = 'Added' AND source = 'shop'", "event IS NULL",
            "context->'campaign'->>'name' = 'spring'", "properties ? 'currency'",
            "event = 'Added' AND properties @> '{\"product_id\": \"p2\"}'",
            "coalesce((properties->>'price')::numeric, 0) < 20", "traits->>'country' = 'NL' AND event = 'Added'"])

    def window(self):
        """An event not older than a span; or older; in one of the ways to write it."""
        random, span = self.random, self.span()
        column = "received_at" if random.random() < 0.06 else "occurred_at"
        self.breaks.add(f"{column} + interval '{span}'")
        op = random.choice([">", ">", ">", ">=", "<", "<="])
        turned = op.translate(str.maketrans("<>", "><"))
        return random.choice([f"{column} {op} now() - interval '{span}'"] * 3 + [
            f"now() - interval '{span}' {turned} {column}", f"{column} + interval '{span}' {op} now()"])

    def two_sided(self):
        random = self.random
        near, far = sorted(random.sample(range(len(SPANS) - 1), 2))
        near, far = SPANS[near], SPANS[far]
        self.breaks |= {f"occurred_at + interval '{near}'", f"occurred_at + interval '{far}'"}
        if random.random() < 0.3:
            return f"occurred_at BETWEEN now() - interval '{far}' AND now() - interval '{near}'"
        return (f"occurred_at {random.choice(['>', '>='])} now() - interval '{far}' AND "
                f"occurred_at {random.choice(['<', '<='])} now() - interval '{near}'")

    def where(self):
        random = self.random
        parts = [self.predicate()] if random.random() < 0.8 else []
        if random.random() < 0.75 or not parts:
            parts.append(self.window() if random.random() < 0.8 else self.two_sided())
        random.shuffle(parts)
        text = " AND ".join(parts)
        if random.random() < 0.2:  # where unknown is not false
            text = random.choice([
                "NOT ({})", "({}) IS NOT TRUE", "coalesce({}, true)", "({}) IS NULL", "NOT ({}) OR event = 'Bought'",
                "CASE WHEN {} THEN false ELSE event <> 'Mailed' END"]).format(text)
        elif random.random() < 0.1:
            text = " OR ".join(parts)
        return f" FILTER (WHERE {text})"

    # Conditions.
    def count(self):
        random = self.random
        return f"count(*){self.where()} {random.choice(['>', *COMPARE])} {random.choice([0, 0, 1, 1, 2, 3])}"

    def between(self):
        where = f"{self.predicate()} AND {self.two_sided()}"
        return f"count(*) FILTER (WHERE {where}) {self.random.choice(COMPARE)} {self.random.choice([0, 1])}"

    def total(self):
        random = self.random
        total = f"sum((properties->>'price')::numeric){self.where()}"
        if random.random() < 0.6:
            total = f"coalesce({total}, 0)"
        return f"{total} {random.choice(COMPARE[:4])} {random.choice([0, 10, 25, 60])}"

    def extreme(self):
        random = self.random
        return (f"{random.choice(['min', 'max', 'avg'])}((properties->>'price')::numeric){self.where()} "
                f"{random.choice(COMPARE[:4])} {random.choice([5, 10, 20])}")

    def other(self):
        """Of PostgreSQL's aggregates, run over timelines."""
        random, price = self.random, "(properties->>'price')"
        value, bounds = random.choice([
            (f"sum({price}::float8)", [0, 10.5, 25, 60]), (f"avg({price}::real)", [5, 10, 20]),
            (f"stddev({price}::numeric)", [0, 1, 5]), (f"var_pop({price}::float8)", [0, 2.5, 30]),
            ("cdp.longest_gap(occurred_at)", ["interval '1 day'", "interval '5 days'"]),
            ("cdp.most_frequent(properties->>'product_id')", ["'p1'", "'p2'"])])
        value += self.where()
        return f"{value} {random.choice(COMPARE[:4])} {random.choice(bounds)}"

    def distinct(self):
        what = self.random.choice(["properties->>'product_id'", "event", "occurred_at::date"])
        return f"count(DISTINCT {what}){self.where()} {self.random.choice(COMPARE[:4])} {self.random.choice([0, 1, 2])}"

    def flag(self):
        random = self.random
        flag = f"{random.choice(['bool_or', 'bool_and', 'every'])}({self.predicate()})"
        if random.random() < 0.7:
            flag += self.where()
        return random.choice([flag, f"NOT {flag}", f"coalesce({flag}, false)", f"{flag} IS NOT TRUE"])

    def latest(self):
        """Long ago, or just now."""
        random, span = self.random, self.span()
        self.breaks.add(f"occurred_at + interval '{span}'")
        what = f"{random.choice(['max', 'max', 'min'])}(occurred_at) FILTER (WHERE {self.predicate()})"
        if random.random() < 0.4:
            what = f"coalesce({what}, '-infinity')"
        return f"{what} {random.choice(COMPARE[:4])} now() - interval '{span}'"

    def order(self):
        random = self.random
        left, right = (f"coalesce(max(occurred_at){self.where()}, '-infinity')" for _ in range(2))
        return f"{left} {random.choice(COMPARE[:4])} {right}"

    def since(self):
        random, span = self.random, self.random.choice(SPANS)
        self.breaks.add(f"to_timestamp(extract(epoch FROM occurred_at) + extract(epoch FROM interval '{span}'))")
        return (f"now() - {random.choice(['max', 'min'])}(occurred_at){self.where()} "
                f"{random.choice(COMPARE[:4])} interval '{span}'")

    def trait(self):
        return self.random.choice([
            "traits->>'country' = 'NL'", "traits->>'country' <> 'NL'", "traits->>'plan' IS NULL", "traits ? 'plan'",
            "(traits->>'score')::numeric >= 5", "coalesce((traits->>'score')::numeric, 0) < 5",
            "traits @> '{\"vip\": true}'", "NOT (traits->>'vip')::boolean", "traits->>'country' IN ('NL', 'DE')",
            "traits->'tags' ? 'a'",
            "traits->>'country' IS DISTINCT FROM 'DE'", "traits = '{}'"])

    def trait_time(self):
        span = self.random.choice(SPANS)
        self.person_breaks |= {"(traits->>'renewal')::timestamptz",
                               f"(traits->>'renewal')::timestamptz - interval '{span}'"}
        return self.random.choice([
            f"(traits->>'renewal')::timestamptz < now() + interval '{span}'",
            "(traits->>'renewal')::timestamptz > now()",
            f"coalesce((traits->>'renewal')::timestamptz, 'infinity') <= now() + interval '{span}'"])

    def property_time(self):
        self.breaks.add("(properties->>'expires')::timestamptz")
        return self.random.choice([
            "max((properties->>'expires')::timestamptz) > now()", "min((properties->>'expires')::timestamptz) <= now()",
            f"count(*) FILTER (WHERE {self.predicate()} AND (properties->>'expires')::timestamptz > now()) > 0"])

    def truncation(self):
        """Calendar days, weeks and months."""
        random = self.random
        unit = random.choice(["day", "week", "month"])
        self.truncated = True
        for count in range(-1, 4):
            self.breaks.add(f"date_trunc('{unit}', occurred_at) + interval '{count} {unit}'")
        return random.choice([
            f"count(*) FILTER (WHERE {self.predicate()} AND occurred_at >= date_trunc('{unit}', now())) > 0",
            f"max(occurred_at) < date_trunc('{unit}', now() - interval '1 {unit}')",
            f"count(*) FILTER (WHERE date_trunc('{unit}', occurred_at) = date_trunc('{unit}', now())) > 0",
            f"bool_or(occurred_at::date = now()::date AND {self.predicate()})",
            f"count(*) FILTER (WHERE occurred_at::date > now()::date - {random.choice([1, 7])}) > 0"])

    def weighted(self):
        return (f"coalesce(sum(CASE WHEN {self.window()} THEN 2 WHEN {self.predicate()} THEN 1 END), 0) "
                f"{self.random.choice(COMPARE[:4])} {self.random.choice([1, 3])}")

    def last_event(self):
        column = self.random.choice(["event", "properties->>'product_id'"])
        value = "Added" if column == "event" else "p1"
        return f"(array_agg({column} ORDER BY occurred_at DESC, event_id DESC){self.where()})[1] = '{value}'"

    def doubtful(self):
        """The compiler may refuse these; what it takes must be right."""
        random, span = self.random, self.span()
        self.truncated = True
        self.breaks.add(f"occurred_at + interval '{span}'")
        return random.choice([
            "extract(hour FROM now()) < 12", f"max(now() - occurred_at) {random.choice('<>')} interval '{span}'",
            "sum(extract(epoch FROM now() - occurred_at)) > 86400",
            "now() - max(occurred_at) > max(occurred_at) - min(occurred_at)",
            f"now() - interval '{span}' BETWEEN min(occurred_at) AND max(occurred_at)",
            f"date_trunc('day', now()) - max(occurred_at) > interval '{span}'",
            f"now() > '2026-01-01' AND max(occurred_at) = now() - interval '{span}'",
            f"(max(occurred_at) > now() - interval '{span}') = (traits->>'country' = 'NL')",
            f"(max(occurred_at) AT TIME ZONE 'Asia/Tokyo')::date = "
            f"((now() - interval '{span}') AT TIME ZONE 'Asia/Tokyo')::date"])

    def membership(self):
        """Of another segment, alone and where it changes what else is asked."""
        random = self.random
        if not self.others:
            return self.count()
        place = random.randint(1, len(self.others))
        self.ask(place)
        if self.others[place - 1].is_value:
            return random.choice(["computed->>'s{}' > '1'", "computed->'s{}' IS NULL", "computed->'s{}' = '2'",
                                  "coalesce(computed->>'s{}', 'a') LIKE '%a%'"]).format(place)
        name = f"cdp.in_segment('s{place}')"
        roll = random.random()
        if roll < 0.4:
            return name
        if roll < 0.6:
            return f"NOT {name}"
        if roll < 0.7:
            return f"{name} = ({self.trait()})"
        if roll < 0.85:
            return f"CASE WHEN {name} THEN {self.latest()} ELSE {self.count()} END"
        near, far = random.sample(SPANS, 2)
        self.breaks |= {f"occurred_at + interval '{near}'", f"occurred_at + interval '{far}'"}
        return f"max(occurred_at) > now() - CASE WHEN {name} THEN interval '{near}' ELSE interval '{far}' END"

    def ask(self, place):
        other = self.others[place - 1]
        self.asked.add(place)
        self.breaks |= set(other.breaks)
        self.person_breaks |= set(other.person_breaks)
        self.truncated |= other.calendar

    def value(self):
        """Of a computed trait, of any type."""
        random, price, where = self.random, "(properties->>'price')::numeric", self.where()
        values = [place for place, other in enumerate(self.others, 1) if other.is_value]
        if values and random.random() < 0.2:
            place = random.choice(values)
            self.ask(place)
            return random.choice([f"computed->'s{place}'", f"coalesce(computed->>'s{place}', 'none') || count(*){where}",
                                  f"CASE WHEN {self.condition(0)} THEN computed->'s{place}' END"])
        return random.choice([
            f"count(*){where}", f"count(*){where}", f"sum({price}){where}", f"coalesce(sum({price}){where}, 0)",
            f"round(avg({price}){where}, 2)", f"{random.choice(['min', 'max'])}({price}){where}",
            f"{random.choice(['min', 'max'])}(occurred_at){where}", f"{random.choice(['min', 'max'])}(event){where}",
            f"count(DISTINCT properties->>'product_id'){where}", f"array_agg(DISTINCT properties->>'product_id'){where}",
            f"array_agg(event{random.choice(['', ' ORDER BY occurred_at, event_id', ' ORDER BY occurred_at DESC, event_id DESC'])}){where}",
            f"jsonb_agg(DISTINCT (properties->>'price')::numeric > 9){where}",
            f"cdp.{random.choice(['first', 'last'])}(properties->>'product_id', occurred_at, event_id){where}",
            f"cdp.most_frequent(event){where}", f"cdp.longest_gap(occurred_at){where}", f"bool_or({self.predicate()}){where}",
            f"sum(({price})::float8){where}", f"avg({price}){where}",
            f"cdp.last_sequence('1 -> 2', occurred_at, event = 'Added', event = 'Bought'){where}",
            f"cdp.funnel('7 days', occurred_at, {', '.join(self.steps())}){where}",
            "traits->>'plan'", "traits->'tags'", f"(traits->>'score')::numeric * count(*){where}",
            self.condition(0), f"CASE WHEN {self.condition(0)} THEN 'a' WHEN {self.condition(0)} THEN 'b' END",
            f"CASE WHEN {self.condition(1)} THEN count(*){where} END"])

    def trait_since(self):
        random, span = self.random, self.span()
        trait = random.choice(["country", "plan", "score", "vip", "renewal"])
        since = f"cdp.trait_since('{trait}')"
        self.person_breaks |= {f"(since->>'{trait}')::timestamptz", f"(since->>'{trait}')::timestamptz + interval '36:00:00'",
                               f"(since->>'{trait}')::timestamptz + interval '{span}'"}
        op = random.choice(COMPARE[:4])
        return random.choice([
            f"{since} {op} now() - interval '{span}'", f"{since} + interval '{span}' {op} now()", f"{since} IS NULL",
            f"{self.trait()} AND {since} <= now() - interval '{span}'", f"max(occurred_at) {op} {since}",
            f"coalesce({since}, '-infinity') {op} now() - interval '{span}'", f"now() - {since} {op} interval '36:00:00'",
            f"count(*) FILTER (WHERE {self.predicate()} AND occurred_at > {since}) > 0"])

    def steps(self):
        events = ["event = 'Added'", "event = 'Bought'", "event = 'Viewed'", "event = 'Mailed'", "type = 'page'",
                  self.predicate()]
        return self.random.sample(events, self.random.choice([2, 3]))

    def sequence(self):
        random, steps = self.random, self.steps()
        gap = random.choice(["", " within 1 day", " within 36 hours", " after 6 hours", " within 7 days after 1 minute"])
        pattern = random.choice(["1 -> 2{}", "1 -> 1{}", "1 -> not 2 -> 1{}", "not 2 -> 1 -> 1{}", "2 -> 1{} -> not 2",
                                 "1 -> 2{} -> 1; all within 14 days"]).format(gap)
        name = random.choice(["sequence", "sequence", "sequence_count", "last_sequence"])
        bound = random.random() < 0.3
        binding = "properties->>'product_id', " if bound else ""
        call = (f"cdp.{name}{'_by' if bound else ''}('{pattern}', occurred_at, "
                f"{binding}{', '.join(steps)}){self.where()}")
        if name == "sequence":
            return random.choice([call, f"NOT {call}"])
        if name == "sequence_count":
            return f"{call} {random.choice(COMPARE)} {random.choice([0, 1, 2])}"
        span = self.span()
        self.breaks.add(f"occurred_at + interval '{span}'")
        return f"{call} {random.choice(COMPARE[:4])} now() - interval '{span}'"

    def funnel(self):
        within = self.random.choice(["6 hours", "1 day", "7 days"])
        return (f"cdp.funnel('{within}', occurred_at, {', '.join(self.steps())}){self.where()} "
                f"{self.random.choice(COMPARE[:4])} {self.random.choice([1, 2])}")

    def edge(self):
        value, wanted = self.random.choice([("event", "'Added'"), ("properties->>'product_id'", "'p1'"),
                                            ("(properties->>'price')::numeric", "10")])
        return (f"cdp.{self.random.choice(['first', 'last'])}({value}, occurred_at, event_id){self.where()} "
                f"{self.random.choice(['=', '<>', '<', '>='])} {wanted}")

    def zoned(self):
        """Calendar windows in a zone of their own."""
        random = self.random
        unit, zone = random.choice(["day", "week", "month"]), random.choice(["Europe/Amsterdam", "Asia/Tokyo"])
        self.truncated = True
        return random.choice([
            f"count(*) FILTER (WHERE {self.predicate()} AND occurred_at >= date_trunc('{unit}', now(), '{zone}')) > 0",
            f"count(*) FILTER (WHERE occurred_at < date_trunc('{unit}', now(), '{zone}') AND {self.predicate()}) > 1",
            "count(*) FILTER (WHERE occurred_at >= now()::date - 3 AND event = 'Viewed') > 0"])

    def clock_free(self):
        return self.random.choice([
            "max(occurred_at) - min(occurred_at) > interval '3 days'", "count(*) > 2", "count(*) = 0",
            "count(event) < count(*)", "string_agg(event, ',' ORDER BY occurred_at, event_id) LIKE '%Added,Bought%'",
            "max(received_at - occurred_at) > interval '1 day'", "true",
            "count(*) FILTER (WHERE extract(hour FROM occurred_at) < 12) > 1"])
