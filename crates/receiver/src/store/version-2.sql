-- From version 1 to 2.

-- What has gone from the store on purpose, so that `check` knows what it cannot find.
-- Raw documents before an hour, jobs in `ended` before a day, summaries before a day; and the hour before
-- which a user was taken out of the raw documents, so that sums of before hold more than they do.
CREATE TABLE gone(
    documents INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    summaries INTEGER NOT NULL,
    forgotten INTEGER NOT NULL
);
INSERT INTO gone VALUES (0, 0, 0, 0);

-- The cells of a day lie beside its totals, so that a question about months reads totals only.
CREATE TABLE slots(id INTEGER PRIMARY KEY, cells BLOB NOT NULL);
INSERT INTO slots SELECT id, slots FROM days;
ALTER TABLE days DROP COLUMN slots;

-- A job that is reported on several days in a row counts on the first only, and is known on each.
ALTER TABLE ended ADD COLUMN is_counted INTEGER NOT NULL DEFAULT 1;
-- For how many days `serve` was told last to keep what; no row before its first time. `prune` goes by it.
CREATE TABLE keep(documents INTEGER NOT NULL, summaries INTEGER NOT NULL);
