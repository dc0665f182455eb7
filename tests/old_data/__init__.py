"""What a release left behind, kept for ever: its whole database and every record of its topics, taken in the midst of its work.

`make record-release COMMIT=…` runs that revision's own code and writes `COMMIT.msgpack.xz` here; `tests/integration/test_old_data.py` goes
on with it by today's code, `tests/contract/test_old_records.py` reads every record. A recording is never made anew.
"""
