"""The tables of a watch file; docs/watching.md describes them for those who read it with SQL."""

APPLICATION_ID = 0x42425761
VERSION = 5
LOGGED = 3
"""The first version with a log."""

LIVE_TABLES = """
CREATE TABLE live (
    id INTEGER PRIMARY KEY,
    watch INTEGER NOT NULL REFERENCES watch,
    input TEXT NOT NULL,
    at TEXT NOT NULL,
    photographs_of TEXT,
    statistics BLOB NOT NULL,
    answers BLOB NOT NULL,
    UNIQUE (watch, input)
);
CREATE TABLE live_rank (
    live INTEGER NOT NULL REFERENCES live,
    feature TEXT NOT NULL,
    p_value REAL NOT NULL,
    PRIMARY KEY (live, feature)
);
CREATE TABLE live_wealth (
    watch INTEGER NOT NULL REFERENCES watch,
    feature TEXT NOT NULL,
    shares TEXT NOT NULL,
    log_wealth REAL NOT NULL,
    log_highest REAL NOT NULL,
    PRIMARY KEY (watch, feature)
);
"""

LOG_TABLE = """
CREATE TABLE log (
    calibration TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('watch', 'visit', 'live', 'state')),
    subject INTEGER NOT NULL,
    digest TEXT NOT NULL,
    watches TEXT NOT NULL,
    bets TEXT NOT NULL,
    state TEXT NOT NULL,
    at TEXT NOT NULL,
    chain TEXT NOT NULL,
    signature TEXT,
    PRIMARY KEY (calibration, number)
);
"""

BESIDE_TABLE = """
CREATE TABLE IF NOT EXISTS beside (
    visit INTEGER NOT NULL REFERENCES visit,
    truth TEXT NOT NULL,
    loss REAL NOT NULL,
    PRIMARY KEY (visit, truth)
);
"""
"""Losses of fresh photographs by what is promised beside; until version 4 they were not measured."""

FROM = {
    1: f"ALTER TABLE watch ADD COLUMN live INTEGER NOT NULL DEFAULT 0; {LIVE_TABLES} {LOG_TABLE} {BESIDE_TABLE}",
    2: LOG_TABLE + BESIDE_TABLE,
    3: BESIDE_TABLE,
    4: BESIDE_TABLE,
}
"""Version → what makes a file of it one of the present version.

A watch of version 1 keeps its level, which had no part for live pictures. Until version 3 each canary bet by itself, on
the p-value beside its features, and what those bets came to stays in `wealth` as it was. All visits of such a watch bet
anew, by their features alone.
"""

TABLES = (
    LIVE_TABLES
    + LOG_TABLE
    + BESIDE_TABLE
    + """
CREATE TABLE watch (
    id INTEGER PRIMARY KEY,
    calibration TEXT NOT NULL,
    begun_at TEXT NOT NULL,
    seed TEXT NOT NULL,
    level REAL NOT NULL,
    first_draws_calibrated INTEGER NOT NULL,
    repeats_itself INTEGER,
    ended_at TEXT,
    live INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE canary (
    id INTEGER PRIMARY KEY,
    watch INTEGER NOT NULL REFERENCES watch,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    upload TEXT NOT NULL,
    png BLOB NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    sensitivity REAL,
    UNIQUE (watch, position)
);
CREATE TABLE visit (
    id INTEGER PRIMARY KEY,
    watch INTEGER NOT NULL REFERENCES watch,
    number INTEGER NOT NULL,
    begun_at TEXT NOT NULL,
    ended_at TEXT,
    verdict TEXT,
    UNIQUE (watch, number)
);
CREATE TABLE draw (
    id INTEGER PRIMARY KEY,
    visit INTEGER NOT NULL REFERENCES visit,
    canary INTEGER NOT NULL REFERENCES canary,
    purpose TEXT NOT NULL CHECK (purpose IN ('chosen', 'reference', 'repeat', 'fresh')),
    draw_index INTEGER NOT NULL,
    seed TEXT,
    state TEXT,
    file TEXT,
    model TEXT,
    format TEXT,
    width INTEGER,
    height INTEGER,
    cost_usd TEXT,
    UNIQUE (canary, draw_index)
);
CREATE TABLE feature (
    draw INTEGER NOT NULL REFERENCES draw,
    name TEXT NOT NULL,
    value REAL NOT NULL,
    p_value REAL,
    PRIMARY KEY (draw, name)
);
CREATE TABLE wealth (
    visit INTEGER NOT NULL REFERENCES visit,
    feature TEXT NOT NULL,
    log_wealth REAL NOT NULL,
    log_highest REAL NOT NULL,
    PRIMARY KEY (visit, feature)
);
CREATE TABLE photograph (
    visit INTEGER NOT NULL REFERENCES visit,
    truth TEXT NOT NULL,
    name TEXT NOT NULL,
    alpha REAL NOT NULL,
    loss REAL,
    UNIQUE (visit, truth)
);
CREATE TABLE finding (
    visit INTEGER NOT NULL REFERENCES visit,
    layer TEXT NOT NULL,
    verdict TEXT NOT NULL,
    statement TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (visit, layer)
);
CREATE TABLE state (
    id INTEGER PRIMARY KEY,
    calibration TEXT NOT NULL,
    visit INTEGER REFERENCES visit,
    at TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('watched', 'suspended', 'void', 'accepted')),
    reason TEXT NOT NULL
);
CREATE TABLE notice (
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL REFERENCES state,
    channel TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    delivered_at TEXT,
    error TEXT,
    UNIQUE (state, channel)
);
"""
)
