"""Checks lying Arrow streams as the server does, in a small process: python -m tests.harness.stream_process HOME SEED.

Prints a line of JSON: how many were accepted and refused, and the megabytes that all of them took at the peak.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from aerocast.ingest.channels import arrow
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from tests.factories.feeds import small_feed
from tests.factories.stream_lies import honest_streams, lies_of_words, random_lies
from tests.harness.memory import megabytes

MOST_READINGS = 100_000
COUNT = 3000


def main(home: str, seed: str) -> None:
    definition, outcomes, before = definition_of(small_feed(Path(home))), Counter[str](), megabytes("VmRSS")
    for body in [*lies_of_words(honest_streams()[0]), *random_lies(int(seed), COUNT)]:
        try:
            arrow.check_stream(definition, body, MOST_READINGS)
            arrow.as_texts(definition, arrow.parse_arrow(body))  # what the platform does with what is accepted
            outcomes["accepted"] += 1
        except ReadingError:
            outcomes["refused"] += 1
    print(json.dumps({**outcomes, "peak": megabytes("VmHWM") - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
