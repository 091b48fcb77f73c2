-- A start of the program.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    began_unix_ms INTEGER NOT NULL,
    version TEXT NOT NULL
);

-- An utterance. Columns without a value are not known: it was not over when the program ended.
-- Those that are no number or plain text are JSON.
CREATE TABLE utterances (
    -- Never used again, even when the utterance is gone.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (id),
    -- Its number in the events of the run.
    event INTEGER NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    settings TEXT NOT NULL,
    t0 REAL,
    t1 REAL,
    text TEXT,
    words TEXT,
    flags TEXT,
    wake TEXT,
    readings TEXT,
    compared TEXT,
    alternatives TEXT,
    model TEXT,
    stages TEXT,
    UNIQUE (run, event)
);
CREATE INDEX utterances_by_time ON utterances (at_unix_ms);

-- What followed from it, in order.
CREATE TABLE followed (
    id INTEGER PRIMARY KEY,
    utterance INTEGER NOT NULL REFERENCES utterances (id) ON DELETE CASCADE,
    at_unix_ms INTEGER NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX followed_by_utterance ON followed (utterance);

-- Its audio: 16-bit little-endian samples, 16 kHz.
CREATE TABLE audio (
    utterance INTEGER PRIMARY KEY REFERENCES utterances (id) ON DELETE CASCADE,
    pcm BLOB NOT NULL
);
