"""The table of what happened to submissions, and the triggers that fill it with each change of the journal.

Triggers, so that a change and what is told of it are one transaction, whatever writes the journal.
"""

from __future__ import annotations

from typing import Final

_NOW: Final = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
"""Unix milliseconds by this machine's clock: when it came to be known here."""

_NEXT: Final = "(SELECT coalesce(max(number), 0) + 1 FROM event WHERE submission = new.{cid})"

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS event (submission BLOB, number INTEGER, kind TEXT NOT NULL, orders BLOB, told TEXT NOT NULL,
  reason TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (submission, number)) STRICT;
CREATE INDEX IF NOT EXISTS events_about ON event (orders);
CREATE TRIGGER IF NOT EXISTS event_begun AFTER INSERT ON submission BEGIN
  INSERT INTO event VALUES (new.cid, {_NEXT.format(cid="cid")}, 'state', NULL, new.state, new.reason, {_NOW});
END;
CREATE TRIGGER IF NOT EXISTS event_state AFTER UPDATE OF state ON submission WHEN new.state <> old.state BEGIN
  INSERT INTO event VALUES (new.cid, {_NEXT.format(cid="cid")}, 'state', NULL, new.state, new.reason, {_NOW});
END;
CREATE TRIGGER IF NOT EXISTS event_ordered AFTER INSERT ON orders BEGIN
  INSERT INTO event VALUES (new.submission, {_NEXT.format(cid="submission")}, 'ordered', new.cid, '', '', {_NOW});
END;
CREATE TRIGGER IF NOT EXISTS event_answered AFTER INSERT ON receipt BEGIN
  INSERT INTO event VALUES (new.submission, {_NEXT.format(cid="submission")}, 'answered', new.orders, '', '', {_NOW});
END;
CREATE TRIGGER IF NOT EXISTS event_refused AFTER INSERT ON refusal
  WHEN (new.kind, new.reason) IS NOT (SELECT told, reason FROM event WHERE orders = new.orders AND kind = 'refused'
    ORDER BY number DESC LIMIT 1) BEGIN
  INSERT INTO event VALUES (new.submission, {_NEXT.format(cid="submission")}, 'refused', new.orders, new.kind,
    new.reason, {_NOW});
END;
CREATE TRIGGER IF NOT EXISTS event_forgotten AFTER DELETE ON submission BEGIN
  DELETE FROM event WHERE submission = old.cid;
END;
"""  # noqa: S608  # made of this file's constants alone
"""A refusal is told once until another reason comes: the bus writes the same again each time that it asks."""
