#!/usr/bin/env python3
"""segments_new.py FILE SEED NUMBER: messages of people who are in FILE already, as if they came in the last minute."""
import datetime
import json
import random
import sys
import uuid

name, seed, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
with open(name, encoding="utf-8") as lines:
    chosen = list(lines)
now = datetime.datetime.now(datetime.timezone.utc)
for line in random.sample(chosen, min(number, len(chosen))):
    message = json.loads(line)
    at = now - datetime.timedelta(seconds=random.random() * 60)
    message.update(messageId=str(uuid.UUID(int=random.getrandbits(128))), timestamp=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    for field in ("sentAt", "receivedAt"):
        message.pop(field, None)
    print(json.dumps(message))
