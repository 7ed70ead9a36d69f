-- Version 1. Times are milliseconds since 1970 unless they say hour, day or slot (5 minutes), which count from 1970 too.

CREATE TABLE facilities(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE kinds(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE tokens(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    role TEXT NOT NULL,
    facility TEXT,
    note TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    used INTEGER
);

-- Raw documents, as lines of JSON, zstd. A block is of one facility, kind and hour.
CREATE TABLE blocks(
    id INTEGER PRIMARY KEY,
    facility INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX blocks_where ON blocks(facility, kind, hour, first, last, documents);
CREATE INDEX blocks_hour ON blocks(hour);

-- Which documents of which batch are stored: pairs of 32-bit numbers, from and before.
CREATE TABLE batches(
    facility INTEGER NOT NULL,
    batch BLOB NOT NULL,
    ranges BLOB NOT NULL,
    stored INTEGER NOT NULL,
    PRIMARY KEY(facility, batch)
) WITHOUT ROWID;

-- The last block whose documents are in the tables below.
CREATE TABLE summarised(block INTEGER NOT NULL);
INSERT INTO summarised VALUES (0);

-- Who was seen on which day: a bit for each hour, the first and the last time.
CREATE TABLE seen(
    facility INTEGER NOT NULL,
    day INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    user INTEGER NOT NULL,
    hours INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    PRIMARY KEY(facility, day, kind, user)
) WITHOUT ROWID;

-- Jobs that ended, so that each counts once: kept as long as a document may be late.
CREATE TABLE ended(
    facility INTEGER NOT NULL,
    day INTEGER NOT NULL,
    job BLOB NOT NULL,
    PRIMARY KEY(facility, day, job)
) WITHOUT ROWID;

-- Numbers over time. What label and part are depends on the metric.
CREATE TABLE series(
    id INTEGER PRIMARY KEY,
    facility INTEGER NOT NULL,
    metric TEXT NOT NULL,
    label TEXT NOT NULL,
    part TEXT NOT NULL,
    UNIQUE(facility, metric, label, part)
);

-- A day of a series: its id is series * 65536 + day. n, sum, min, max over the slots' means; the slots.
CREATE TABLE days(
    id INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    sum REAL NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    slots BLOB NOT NULL
);

-- The newest document of each kind by node (empty: none) and part (a mount, a queue).
CREATE TABLE latest(
    facility INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    node TEXT NOT NULL,
    part TEXT NOT NULL,
    time INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY(facility, kind, node, part)
) WITHOUT ROWID;
