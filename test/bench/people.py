"""Records of people with errors and the truth, as CSV: id, person, first_name, surname, dob, postcode, city, phone, email. One to four records a
person (1.4 on average). people.py RECORDS [SEED]"""
import csv, random, sys

records, random_ = int(sys.argv[1]), random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
choice, chance = random_.choice, random_.random
SYLLABLES = [a + b for a in "b br d f g h j k l m n p r s st t v w".split() for b in "a e i o u aa ee ie oe an en in on el er".split()]


def names(number, parts):
    made = {}
    while len(made) < number:
        made["".join(choice(SYLLABLES) for _ in range(choice(parts))).capitalize()] = None
    return list(made)


def skewed(values):  # the first are common, the last are rare
    return values[int(len(values) * chance() ** 2.5)]


FIRST, LAST, CITIES = names(3000, [2, 2, 3]), names(40000, [2, 3, 3, 4]), names(800, [2, 3])
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def slip(text, letters=LETTERS):  # one wrong key
    if len(text) < 2:
        return text
    at, kind = random_.randrange(len(text) - 1), random_.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + choice(letters) + text[at:]
    if kind == 2:
        return text[:at] + choice(letters) + text[at + 1:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2:]


def address():
    area = random_.randrange(900)
    return f"{1000 + area * 10 + random_.randrange(10)}{choice('ABCDEFGHJK')}{choice('ABCDEFGHJK')}", CITIES[area % len(CITIES)]


def record(person):
    first, last, born, (postcode, city), phone, mail = person
    if chance() < 0.10:
        first = slip(first)
    elif chance() < 0.06:
        first = first[0]
    if chance() < 0.10:
        last = slip(last)
    elif chance() < 0.03:
        last = skewed(LAST)
    if chance() < 0.02:
        first, last = last, first
    if chance() < 0.06:
        born = slip(born[:-2], "0123456789") + born[-2:] if chance() < 0.5 else born[:5] + born[8:] + born[4:7]
    if chance() < 0.12:
        postcode, city = address()
    elif chance() < 0.05:
        postcode = slip(postcode, "0123456789")
    if chance() < 0.04:
        city = slip(city)
    if chance() < 0.15:
        phone = f"06{random_.randrange(10 ** 8):08}"
    if chance() < 0.15:
        mail = slip(mail)
    return [value if chance() >= missing else "" for value, missing in
            zip((first, last, born, postcode, city, phone, mail), (0.01, 0.01, 0.08, 0.1, 0.1, 0.35, 0.4))]


def main():
    out, made, number = csv.writer(sys.stdout), 0, 0
    out.writerow("id person first_name surname dob postcode city phone email".split())
    while made < records:
        number += 1
        first, last = skewed(FIRST), skewed(LAST)
        born = f"{1930 + random_.randrange(76)}-{1 + random_.randrange(12):02}-{1 + random_.randrange(28):02}"
        person = (first, last, born, address(), f"06{random_.randrange(10 ** 8):08}",
                  f"{first}.{last}{random_.randrange(100)}@{choice(('example.com', 'mail.example', 'post.example'))}".lower())
        for _ in range(random_.choices((1, 2, 3, 4), (70, 20, 7, 3))[0]):
            made += 1
            out.writerow([made, number] + record(person))


main()
